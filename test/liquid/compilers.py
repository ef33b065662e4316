"""C compilers for the tests: what the machine has, and the one that comes from PyPI."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZERS = (
    ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ("-fsanitize=undefined", "-fsanitize-trap=undefined"),
)
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
    return subprocess.run(command, check=False, text=True, capture_output=True, timeout=300)


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
