"""Write a policy, or a cell, as an ONNX model or as one C file that needs nothing else."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.liquid import container
from lnn_ros.liquid.checkpoint import CELL_FORMAT, load, load_cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("policy", type=Path, help="file of a policy, or of a cell alone")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="one step as an ONNX model")
    parser.add_argument(
        "--onnx-read", type=Path, metavar="FILE", help="a policy's read-out between frames as well"
    )
    parser.add_argument("--c", type=Path, metavar="FILE", help="one C99 file")


def run(args: argparse.Namespace) -> int:
    """Write what was asked for."""
    if not (args.onnx or args.onnx_read or args.c):
        raise LnnError("lnn_ros export: nothing to write, expected --onnx, --onnx-read or --c")
    # Everything is made before anything is written.
    for path, content in _made(args).items():
        _write(path, content)
        print(f"{path}: {len(content)} bytes")
    return 0


def _made(args: argparse.Namespace) -> Mapping[Path, bytes]:
    made: dict[Path, bytes] = {}
    if container.file_format(args.policy) == CELL_FORMAT:
        cell = load_cell(args.policy)
        if args.onnx_read:
            raise LnnError(f"{args.policy}: a cell alone found, expected a policy for --onnx-read")
        if args.onnx:
            from lnn_ros.liquid.exporting.onnx_export import cell_model

            made[args.onnx] = cell_model(cell).SerializeToString()
        if args.c:
            from lnn_ros.liquid.exporting.c_export import cell_source

            made[args.c] = cell_source(cell).encode()
        return made
    policy = load(args.policy)
    if args.onnx or args.onnx_read:
        from lnn_ros.liquid.exporting.onnx_export import policy_model, read_model

        for path, model in ((args.onnx, policy_model), (args.onnx_read, read_model)):
            if path:
                made[path] = model(policy).SerializeToString()
    if args.c:
        from lnn_ros.liquid.exporting.c_export import policy_source

        made[args.c] = policy_source(policy).encode()
    return made


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise LnnError(f"{path}: cannot be written ({error.strerror})") from None
