"""Matrix products inside a scan: small ones, thousands of them, on the batch as contiguous axis.

numba's ``@`` wants scipy, and loops over arrays load and store every partial sum. Here a tile of
4 rows x 16 sequences stays in vector registers while all sources run by: written as LLVM vectors,
which every processor has (16 numbers are one register of AVX-512, two of AVX, four of NEON).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from lnn_ros.liquid.kernels.maths import jit

ROWS, LANES = 4, 16


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Emit the code of ``_tile``."""
    kinds = signature.args
    arrays = [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(kinds[:3], args[:3], strict=True)
    ]
    out, w, x = ((array.data, cgutils.unpack_tuple(builder, array.shape)) for array in arrays)
    row, lane = args[3:]
    number = context.get_data_type(kinds[0].dtype)
    vector, size = ir.VectorType(number, LANES), context.get_abi_sizeof(number)
    fused = ("contract",)

    def at(array: Any, r: Any, c: Any) -> Any:
        data, shape = array
        return builder.gep(data, [builder.add(builder.mul(r, shape[1]), c)])

    rows = [builder.add(row, ir.Constant(row.type, r)) for r in range(ROWS)]
    places = [builder.bitcast(at(out, r, lane), vector.as_pointer()) for r in rows]
    # LLVM keeps these in registers.
    sums = [cgutils.alloca_once(builder, vector) for _ in rows]
    for place, total in zip(places, sums, strict=True):
        builder.store(builder.load(place, align=size), total)
    first = ir.Constant(ir.IntType(32), 0)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    with cgutils.for_range(builder, w[1][1]) as loop:
        source = builder.bitcast(at(x, loop.index, lane), vector.as_pointer())
        values = builder.load(source, align=size)
        for r, total in zip(rows, sums, strict=True):
            weight = builder.load(at(w, r, loop.index))
            weights = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, first)
            weights = builder.shuffle_vector(weights, weights, everywhere)
            product = builder.fmul(weights, values, flags=fused)
            builder.store(builder.fadd(builder.load(total), product, flags=fused), total)
    for place, total in zip(places, sums, strict=True):
        builder.store(builder.load(total), place, align=size)
    return context.get_dummy_value()


def _tile_type(typingctx, out, w, x, row, lane):  # type: ignore[no-untyped-def]
    """``out[row : row + 4, lane : lane + 16] += w[row : row + 4] @ x[:, lane : lane + 16]``."""
    return types.void(out, w, x, types.intp, types.intp), _tile_code


_tile: Any = intrinsic(_tile_type)


@jit
def matmul_add(out: Any, w: Any, x: Any) -> None:
    """``out += w @ x``: (rows or more, B), (rows, sources), (sources or more, B), all contiguous.

    ``w`` has rows in fours (``in_fours``), B is a multiple of 16 (``wide``).
    """
    for lane in range(0, out.shape[1], LANES):
        for row in range(0, w.shape[0], ROWS):
            _tile(out, w, x, row, lane)


@jit
def wide(batch: Any) -> Any:
    """Round a number of sequences up to whole vectors."""
    return (batch + LANES - 1) // LANES * LANES


def in_fours(w: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous copy with rows of zeros up to a multiple of four."""
    out = np.zeros((-(-len(w) // ROWS) * ROWS, w.shape[1]), w.dtype)
    out[: len(w)] = w
    return out
