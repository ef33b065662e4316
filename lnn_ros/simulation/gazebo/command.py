"""Write a world of a task, its models and the bridge's file for Gazebo, or check such files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.learning.jobs import provenance
from lnn_ros.simulation.gazebo import models
from lnn_ros.simulation.gazebo.bridge import bridge_file
from lnn_ros.simulation.gazebo.check import check_folder, tool_version
from lnn_ros.simulation.gazebo.files import (
    COMMITTED_NAME,
    COMMITTED_SEED,
    COMMITTED_TASK,
    world_files,
    write,
)
from lnn_ros.simulation.gazebo.releases import DEFAULT, RELEASES, release
from lnn_ros.simulation.task import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder to write into")
    what.add_argument("--check", type=Path, metavar="FOLDER",
                      help="check every SDF file below a folder: by this package's own rules and, "
                           "where one is installed, by Gazebo's `gz sdf` or `ign sdf`")
    parser.add_argument("--task", default=COMMITTED_TASK,
                        help="name or path of the task (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=COMMITTED_SEED,
                        help="which world of the embedded simulator (default: %(default)s)")
    parser.add_argument("--gazebo", default=DEFAULT, choices=list(RELEASES),
                        help="release of Gazebo (default: %(default)s; ionic and jetty read the "
                             "same files)")
    parser.add_argument("--name", default=COMMITTED_NAME,
                        help="name of the world and of its file (default: %(default)s)")
    parser.add_argument("--model", action="append", metavar="KIND[:NAME]",
                        help="what flies there (default: lnn_quadrotor); again for one more, "
                             "under another name: lnn_quadrotor:drone2")
    parser.add_argument("--wind", type=float, nargs=2, default=(0.0, 0.0),
                        metavar=("EAST", "NORTH"), help="constant wind, m/s")
    parser.add_argument("--json", type=Path, help="with --check, write what was found there")


def run(args: argparse.Namespace) -> int:
    """Write or check; the status is 1 when a check found something."""
    if args.check is not None:
        return _check(args.check, args.json)
    if not args.name.isidentifier():
        raise LnnError(f"--name is {args.name!r}: expected letters, digits and underscores")
    if args.seed < 0:
        raise LnnError(f"--seed is {args.seed}: expected 0 or more")
    vehicles = [models.make(*word.split(":", 1)) for word in args.model or ["lnn_quadrotor"]]
    if len({vehicle.name for vehicle in vehicles}) < len(vehicles):
        raise LnnError("--model names two vehicles alike: expected KIND:NAME with another name")
    found, task = release(args.gazebo), Task.load(args.task)
    files = world_files(task, args.seed, vehicles, found, args.name, tuple(args.wind))
    for index, vehicle in enumerate(vehicles):
        # The relative names on our side are in the namespace of one drone each.
        path = "bridge.yaml" if index == 0 else f"bridge_{vehicle.name}.yaml"
        files[path] = bridge_file(vehicle.topics(), found, clock=index == 0)
    write(files, args.out)
    for path in sorted(files):
        sys.stdout.write(f"{args.out / path}\n")
    return 0


def _check(folder: Path, report: Path | None) -> int:
    found = check_folder(folder)
    for row in found:
        for sentence in row.problems:
            sys.stdout.write(f"{row.path}: {sentence}\n")
        said = "well formed" if not row.problems else f"{len(row.problems)} problems"
        sys.stdout.write(f"{row.path}: {said}; {row.tool or 'neither gz nor ign sdf is installed'}"
                         f"{': ' + row.verdict if row.tool else ''}\n")
    if report is not None:
        header = {**provenance(f"lnn_ros worlds --check {folder} --json {report}"),
                  "tool": tool_version()}
        rows = [row.as_json() for row in found]
        report.write_text(json.dumps({**header, "files": rows}, indent=1) + "\n",
                          encoding="utf-8")
    return 1 if any(row.problems or row.failed for row in found) else 0
