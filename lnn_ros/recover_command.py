"""Complete recordings that were cut short: a kill, a loss of power, a full disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lnn_ros.recovery import recover, unfinished


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="a recording, or a folder of recordings")


def run(args: argparse.Namespace) -> int:
    """Recover, and print a line for each."""
    bags = unfinished(args.folder)
    for bag in bags:
        found = recover(bag)
        sys.stdout.write(f"{bag}: {found.messages} messages; {found.files} files were damaged, "
                         f"{found.lost} bytes at their ends are lost\n")
    sys.stdout.write(f"{len(bags)} recordings completed\n")
    return 0
