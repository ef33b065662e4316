"""Inject faults into a drone in flight, one after the other, and judge what comes of each."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import write

# A demo seed: in no training or evaluation set. The way from the start is free for some metres.
SEED = 300_007
_ATTEMPTS = 3  # on a busy computer, which would be judged instead of the fault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``lnn_ros faults``."""
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="keep the results here; the same command goes on from it")
    parser.add_argument("--rows", metavar="A,B", help="only these (default: all)")
    parser.add_argument("--again", action="store_true",
                        help="inject what is stored already once more")
    parser.add_argument("--list", action="store_true", help="print the rows, and do nothing")
    parser.add_argument("--show", type=Path, metavar="FILE",
                        help="print the table of stored results in Markdown, and do nothing")
    parser.add_argument("--seed", type=int, default=SEED,
                        help="world to fly in (default: %(default)s)")
    parser.add_argument("--logs", type=Path, metavar="DIR",
                        help="keep the processes' logs here (default: nowhere)")


def run(args: argparse.Namespace) -> int:
    """Run the campaign.

    Returns
    -------
    int
        0 when every row is safe and flew again where it should, else 1.

    Raises
    ------
    LnnError
        When an option or a file is not usable.
    """
    if args.show:
        print(table(stored(args.show)), end="")
        return 0
    from lnn_ros.nodes.faults.rows import ROWS

    if args.list:
        for row in ROWS.values():
            print(f"{row.name:26s} {row.injected}")
        return 0
    names = args.rows.split(",") if args.rows else list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise LnnError(f"--rows names {', '.join(unknown)}: expected names that --list prints")
    data = stored(args.json) if args.json and args.json.exists() else {"rows": {}}
    head = {**provenance(_command_line(args)), "seed": args.seed}
    left = [name for name in ROWS if name in names and (args.again or name not in data["rows"])]
    _say(f"{len(names) - len(left)} of {len(names)} rows are stored, {len(left)} to do")
    if left:
        _campaign(args, head, data["rows"], left)
    shown = {name: data["rows"][name] for name in names}
    print(table({"rows": shown}), end="")
    return 0 if all(good(row) for row in shown.values()) else 1


def good(row: Mapping[str, Any]) -> bool:
    """Whether a row was safe, and flew again as it should."""
    return bool(row["safe"] and row["recovered"])


def stored(path: Path) -> dict[str, Any]:
    """Return the results in a file.

    Raises
    ------
    LnnError
        When it is missing, or none of ours.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not all("safe" in row for row in data["rows"].values()):
            raise KeyError("safe")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LnnError(f"{path}: {error!r} found, expected results of lnn_ros faults") from error
    return data


def _campaign(args: argparse.Namespace, head: Mapping[str, Any], rows: dict[str, Any],
              left: list[str]) -> None:
    """Run rows; keep each as soon as there is one."""
    from lnn_ros.nodes.faults.campaign import run as inject
    from lnn_ros.nodes.faults.rows import ROWS
    from lnn_ros.nodes.faults.stage import Stage, temporary

    with temporary() as folder, Stage(args.logs or Path(folder), args.seed) as stage:
        began = time.monotonic()
        for done, name in enumerate(left, 1):
            at = time.monotonic()
            earlier: list[dict[str, Any]] = []
            found = inject(stage, ROWS[name])
            while not good(found) and found["again"] and len(earlier) < _ATTEMPTS - 1:
                earlier.append({"failed": found["failed"], "recovered_by": found["recovered_by"]})
                found = inject(stage, ROWS[name])
            rows[name] = {**found, "earlier": earlier, "wall_s": round(time.monotonic() - at, 1),
                          "load": os.getloadavg()[0],
                          "commit": head["commit"], "machine": head["machine"]}
            if args.json:
                ordered = {n: rows[n] for n in ROWS if n in rows}
                write(args.json, {**head, "rows": ordered})
            verdict = "safe" if good(rows[name]) else "; ".join(
                f["sentence"] for f in found["failed"]) or f"did not fly again: " \
                f"{found.get('recovered_by')}"
            _say(f"{done}/{len(left)} {name}: {verdict}; "
                 f"{(time.monotonic() - began) / 60:.1f} min")


def table(data: Mapping[str, Any]) -> str:
    """Return the results in Markdown."""
    lines = ["| Injected | Safe command after | Largest command | Largest step | Mode reached, why "
             "| Flies again | Safe |", "|---|---|---|---|---|---|---|"]
    for row in data["rows"].values():
        if "mode" not in row:
            why = "; ".join(f["sentence"] for f in row["failed"])
            lines.append(f"| {row['injected']} | | | | {_cell(why)} | | no |")
            continue
        after, halts = row["time_to_safe_s"], row["halts"]
        lines.append("| " + " | ".join((
            row["injected"],
            "-" if not halts else "never" if after is None
            else f"{after:.2f} s" + ("" if halts == "cmd_vel" else f" ({halts})"),
            _two(row["largest_command"], "m/s", "rad/s"),
            _two(row["largest_step"], "m/s", "rad/s"),
            _cell(f"{row['mode']}: {row['reason']}" if row["mode"] != "engaged" else "engaged"),
            f"by {row['recovered_by']}" if row["recovered"] else "no",
            ("yes" if row["safe"] else "NO: " + _cell("; ".join(
                f["check"] for f in row["failed"])))
            + (f" (attempt {len(row['earlier']) + 1})" if row.get("earlier") else ""),
        )) + " |")
    safe = sum(bool(row["safe"]) for row in data["rows"].values())
    again = sum(bool(row.get("recovered")) for row in data["rows"].values())
    lines.append("")
    lines.append(f"{safe} of {len(data['rows'])} safe; {again} fly again as they should.")
    return "\n".join(lines) + "\n"


def _two(values: list[float], first: str, second: str) -> str:
    return f"{values[0]:.2f} {first}, {values[1]:.2f} {second}"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def _command_line(args: argparse.Namespace) -> str:
    words = ["lnn_ros", "faults"]
    if args.json:
        words += ["--json", str(args.json)]
    if args.seed != SEED:
        words += ["--seed", str(args.seed)]
    return " ".join(words)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
