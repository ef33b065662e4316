"""Look through recordings: what they hold, and whether a policy can learn from them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning import trend
from lnn_ros.learning.survey import Outline, Survey, as_json, outline, recordings, survey
from lnn_ros.liquid.checkpoint import load

ACTIONS = ("list", "show", "check", "trend")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=ACTIONS,
                        help="list: a line for each recording, from what it says of itself; show: "
                             "topics, rates, gaps and takeovers; check: whether a policy can learn "
                             "from each, and why not; trend: whether learning helps, by takeovers, "
                             "novelty and error against takeovers, flight by flight")
    parser.add_argument("folder", type=Path, help="a recording, or a folder of recordings")
    parser.add_argument("--policy", default="fly_to_target",
                        help="that is to learn from them: it says what its camera sees (default: "
                             "%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is found (show, "
                        "check, trend)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the trend")


def run(args: argparse.Namespace) -> int:
    """Look; the exit status of ``check`` is 1 if a recording is of no use."""
    bags = recordings(args.folder)
    if args.action == "list":
        for bag in bags:
            sys.stdout.write(_line(outline(bag)) + "\n")
        return 0
    if args.action == "trend":
        return _trend(bags, args)
    camera = VirtualCamera.from_card(load(policies.find(args.policy)).card)
    found = []
    for bag in bags:
        one = survey(bag, camera)
        found.append(one)
        sys.stdout.write(_printable(_page(one) if args.action == "show" else _verdict(one)) + "\n")
    if args.action == "check":
        good = [one for one in found if not one.troubles]
        seconds = sum(one.labelled_s for one in good)
        sys.stdout.write(f"{len(good)} of {len(found)} recordings are of use: {seconds:.0f} s in "
                         f"{sum(len(one.takeovers) for one in good)} takeovers\n")
    if args.json:
        args.json.write_text(json.dumps([as_json(one) for one in found], indent=1) + "\n",
                             encoding="utf-8")
    return int(args.action == "check" and any(one.troubles for one in found))


def _trend(bags: list[Path], args: argparse.Namespace) -> int:
    """Tell what every policy did in every recording, and altogether."""
    found: list[trend.Leg] = []
    for bag in bags:
        try:
            found += trend.legs(bag)
        except LnnError as error:
            sys.stderr.write(_printable(f"left out: {error}") + "\n")
    found.sort(key=lambda leg: leg.begin_ns)
    for line in (*trend.lines(found, "recording"), "", *trend.lines(trend.by_policy(found), "")):
        sys.stdout.write(_printable(line) + "\n")
    if args.json:
        args.json.write_text(json.dumps([leg.as_dict() for leg in found], indent=1) + "\n",
                             encoding="utf-8")
    if args.figure:
        trend.draw(found, args.figure)
    return 0


def _line(about: Outline) -> str:
    if about.trouble:
        return _printable(f"{about.bag.name}  {about.megabytes:.1f} MB: {about.trouble}")
    takeovers = about.takeovers
    parts = [f"{about.bag.name}  {about.seconds:.1f} s  {about.megabytes:.1f} MB  "
             f"{about.messages} messages"]
    if takeovers is not None:
        parts.append(f"{takeovers} takeovers")
    parts += [about.notes[key] for key in ("robot", "outcome") if about.notes.get(key)]
    if about.notes.get("policy"):
        parts.append("policy " + " ".join(w[:12] for w in about.notes["policy"].split()))
    if about.notes.get("marked") == "true":
        parts.append("marked")
    return _printable("  ".join(parts))


def _page(found: Survey) -> str:
    lines = [_line(found.outline)]
    width = max((len(line.name) for line in found.topics), default=0)
    lines += [f"  {line.name:<{width}}  {line.messages:>7}  {line.rate_hz:7.1f} Hz  longest gap "
              f"{line.gap_s:6.2f} s  {line.kind}" for line in found.topics]
    lines += [f"  takeover from {begin:.1f} to {end:.1f} s" for begin, end in found.takeovers]
    return "\n".join([*lines, *_remarks(found)])


def _verdict(found: Survey) -> str:
    name = found.outline.bag.name
    said = (f"{name}: of use: {found.labelled_s:.1f} s in {len(found.takeovers)} takeovers, "
            f"{found.frames} frames" if not found.troubles else f"{name}: of no use")
    return "\n".join([said, *_remarks(found)])


def _remarks(found: Survey) -> list[str]:
    return [f"  {text}" for text in (*found.troubles, *found.remarks)]


def _printable(text: str) -> str:
    """Keep a hostile recording's names from steering the terminal."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)
