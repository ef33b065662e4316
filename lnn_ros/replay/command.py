"""Run a recorded bag through a policy, and compare with what it commanded live."""

from __future__ import annotations

import lnn_ros.nodes.environment  # noqa: F401  (before numpy, to compute as the controller does)

# isort: split
import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.parameters import OFFLINE
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.driving import Driver, drive
from lnn_ros.replay.limiting import Twin
from lnn_ros.replay.output import Output
from lnn_ros.replay.parameters import from_notes, read_settings
from lnn_ros.replay.report import describe, lines
from lnn_ros.replay.samples import Decoder
from lnn_ros.replay.topics import choose, find_info, find_trace
from lnn_ros.replay.tracing import follow, told_settings

RATE_HZ = 30.0
MAX_RATE_HZ = 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bag", type=Path, help="folder of a rosbag2 (MCAP or sqlite3)")
    parser.add_argument("--policy", help="policy that ships, or path of a .safetensors file "
                        "(that of --params)")
    parser.add_argument("--params", type=Path, metavar="FILE",
                        help="parameter file that the controller was started with (without it, "
                        "what the trace tells)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--out", type=Path, metavar="BAG2",
                        help="write commands and neurons into this new rosbag2")
    parser.add_argument("--image", metavar="TOPIC", help="topic with images, if there are several")
    parser.add_argument("--imu", metavar="TOPIC", help="topic with IMU samples, likewise")
    parser.add_argument("--camera-info", metavar="TOPIC",
                        help="topic with the calibration, if not beside the images")
    parser.add_argument("--trace", metavar="TOPIC",
                        help="the controller's ~/trace, if there are several")
    parser.add_argument("--fov", type=float, metavar="DEG", help="angle of view across the "
                        "image's width of a camera without calibration (camera.fov_deg)")
    parser.add_argument("--rate", type=float, metavar="HZ",
                        help=f"ask for commands at this rate of log time, and leave a trace aside "
                             f"(without a trace: {RATE_HZ:g})")


def run(args: argparse.Namespace) -> int:
    """Replay; the exit status is 1 if a live command was not reproduced that should have been."""
    if args.rate is not None and not 0.1 <= args.rate <= MAX_RATE_HZ:
        raise LnnError(f"--rate is {args.rate}: expected 0.1 to {MAX_RATE_HZ:g} Hz")
    with ExitStack() as stack:
        bag = stack.enter_context(Bag(args.bag))
        trace = find_trace(bag, args.trace) if args.rate is None else None
        settings = _settings(args, bag, trace)
        checkpoint = load(policies.find(settings.policy))
        guard = Guard(ceilings(checkpoint), replace(settings.guard, modes=OFFLINE.modes),
                      settings.period)
        guard.engage_when_ready("replayed")
        pilot = Pilot(checkpoint, horizon_s=settings.horizon_s, guard=guard)
        topics = choose(bag, {"camera": args.image, "imu": args.imu})
        info = find_info(bag, topics["camera"], args.camera_info) if settings.camera.info else None
        if info is not None:
            topics["camera_info"] = info
        decoder = Decoder(bag, topics, VirtualCamera.from_card(pilot.card), settings)
        out = stack.enter_context(Output(args.out)) if args.out else None
        driver = Driver(pilot, decoder, out.write if out else None)
        began = time.perf_counter()
        comparison = None
        if trace is None:
            drive(bag, driver, args.rate or RATE_HZ)
        else:
            topics["trace"] = trace
            digest = str(pilot.card["weights_sha256"])[:16]
            twin = Twin(ceilings(checkpoint), settings)
            comparison = follow(bag, driver, trace, digest, twin)
        found = describe(bag, topics, driver, comparison, time.perf_counter() - began)
    if args.json:
        _write(args.json, settings.policy, pilot, found)
    text = "\n".join(lines(found))
    # A name from a hostile bag must not steer the terminal.
    sys.stdout.write("".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text))
    sys.stdout.write("\n")
    return 1 if comparison is not None and comparison.different else 0


def _settings(args: argparse.Namespace, bag: Bag, trace: Topic | None) -> ControllerSettings:
    """Return what the controller was set to, as the trace tells it, or would be."""
    told = None if trace is None or args.params else told_settings(bag, trace)
    # The node's name is that of its trace.
    node = trace.name.removesuffix("/trace") if trace else "/controller"
    settings = (read_settings(args.params, node) if args.params
                else told or from_notes(bag.notes) or ControllerSettings())
    if args.policy:
        settings = replace(settings, policy=args.policy)
    if args.fov is not None:
        if not 1.0 <= args.fov <= 179.0:
            raise LnnError(f"--fov is {args.fov}: expected 1 to 179 degrees")
        settings = replace(settings, camera=replace(settings.camera, fov_deg=args.fov))
    return settings


def _write(path: Path, policy: str, pilot: Pilot, found: dict[str, Any]) -> None:
    result = {**provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
              "policy": {"name": pilot.card["name"], "file": policy,
                         "weights_sha256": pilot.card["weights_sha256"]},
              **found}
    try:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LnnError(f"{path} cannot be written ({error.strerror}): expected a file's path in a "
                       f"folder that exists") from error
