"""Look at a running robot, and say what is wrong and how to mend it.

One line for each thing that was looked at: a verdict (ok, warn, fail), what it is, what was found
and, where there is one, the remedy. It only listens, so it can be used beside everything else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.nodes import environment  # before numpy is loaded
from lnn_ros.nodes.doctor.findings import Finding, Verdict, worst

_LONGEST_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lnn_ros doctor``."""
    parser.add_argument("--robot", default="", metavar="PROFILE",
                        help="name of a robot's profile, or path of one: its remaps and parameters "
                             "count")
    parser.add_argument("--namespace", default="", metavar="NS",
                        help="namespace of the nodes (default: none)")
    parser.add_argument("--params-file", default="", metavar="FILE",
                        help="parameter file of the nodes (default: the package's); where a node "
                             "runs, what it has counts")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S",
                        help="how long to listen (default: %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the findings here, too")


def run(args: argparse.Namespace) -> int:
    """Listen, judge and print.

    Returns
    -------
    int
        0 when nothing failed, else 1.

    Raises
    ------
    LnnError
        When an option or a file that it names is not usable.
    """
    if not 1.0 <= args.seconds <= _LONGEST_S:
        raise LnnError(f"--seconds is {args.seconds:g}: expected 1 to {_LONGEST_S:g}")
    environment.use_dds_profile("robot.xml")
    from lnn_ros.nodes.doctor.checks import judge
    from lnn_ros.nodes.doctor.collector import Collector
    from lnn_ros.nodes.doctor.intent import Intent

    intent = Intent.read(args.namespace, args.params_file, args.robot)
    with Collector(intent) as collector:
        seen = collector.observe(args.seconds, _say)
    findings = judge(seen)
    for finding in findings:
        print(finding)
    print(f"\n{summary(findings)}")
    if args.json:
        _write(args.json, findings)
    return 1 if worst(findings) is Verdict.FAIL else 0


def summary(findings: list[Finding]) -> str:
    """Return the last line: how many of each verdict."""
    counts = {verdict: sum(finding.verdict is verdict for finding in findings)
              for verdict in Verdict}
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())


def _write(path: Path, findings: list[Finding]) -> None:
    data = {"command": shlex.join(["lnn_ros", *sys.argv[1:]]),
            "at": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
            "verdict": worst(findings).value,
            "findings": [dataclasses.asdict(finding) for finding in findings]}
    try:
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LnnError(f"--json {path} cannot be written: {error}") from error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
