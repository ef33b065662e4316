"""What tests of exports share: cells, the machine's C compilers, zig from PyPI, ONNX Runtime."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from cell_cases import CASES, build, random_weights

from lnn_ros.liquid.checkpoint import CellCheckpoint

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
OPTIONS = {"ltc": {"longest": 0.1}}
"""An exported LTC takes all steps of its grid in one long function: a short grid compiles fast."""
SANITIZERS = (
    ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ("-fsanitize=undefined", "-fsanitize-trap=undefined"),
)
ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".pytest_cache" / "ziglang"  # of the parts of its C library that zig builds at first
ZIG = (sys.executable, "-m", "ziglang", "cc")  # clang, on a machine that has no compiler


def found() -> dict[str, tuple[str, ...]]:
    """Return every compiler by its name: $CC, gcc and clang where they are, and zig's always."""
    named = {name: (path,) for name in ("gcc", "clang") if (path := shutil.which(name))}
    if os.environ.get("CC"):
        named["CC"] = tuple(shlex.split(os.environ["CC"]))
    if not named and (path := shutil.which("cc")):
        named["cc"] = (path,)
    return {**named, "zig": ZIG}


def compile_c(
    compiler: tuple[str, ...], target: Path, sources: list[Path], *options: str
) -> subprocess.CompletedProcess[str]:
    """Compile; no warning passes."""
    command = [*compiler, *WARNINGS, *options, "-o", target, *sources, "-lm"]
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(CACHE), "ZIG_LOCAL_CACHE_DIR": str(CACHE)}
    return subprocess.run(
        command, check=False, text=True, capture_output=True, timeout=500, env=os.environ | cache
    )


@cache
def sanitizer(compiler: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Return options with which this compiler's programs find their own mistakes, if any."""
    source, target = folder / "nothing.c", folder / "nothing"
    source.write_text("int main(void) { return 0; }\n")
    # By a trap where it is zig, which would take half a minute to build the first one's library.
    for options in SANITIZERS[compiler == ZIG :]:
        built = compile_c(compiler, target, [source], *options).returncode == 0
        if built and subprocess.run([target], check=False).returncode == 0:
            return options
    return ()


def session(model) -> onnxruntime.InferenceSession:
    """Load a model on the CPU."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def assert_close(found, wanted, limit: float = 1e-5) -> None:
    """Within the limit, relative to max(1, |wanted|)."""
    error = np.abs(np.asarray(found, np.float64) - wanted) / np.maximum(1.0, np.abs(wanted))
    assert error.max() <= limit


def few_cases():
    """One case of every kind and its options: the one with most kinds of layers and pairs."""
    chosen = {}
    for case in CASES:
        if case.wiring == "paired" or (case.kind, case.options) not in chosen:
            chosen[case.kind, case.options] = replace(
                case, options=(*case.options, *OPTIONS.get(case.kind, {}).items())
            )
    return list(chosen.values())


CELLS = few_cases()


def cell_checkpoint(case) -> CellCheckpoint:
    cell, wiring = build(case)
    rng = np.random.default_rng(3)
    arrays = {f"core.{name}": value for name, value in random_weights(case, 0).items()}
    arrays["readout.weight"] = rng.normal(0, 1, (cell.read, 2))
    arrays["readout.bias"] = rng.normal(0, 1, 2)
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    return CellCheckpoint(cell, {**arrays, **wiring.masks()}, 2, str(case), {})
