"""Show what a policy looks at, remembers and bases its commands on; or measure it over worlds."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.interpret_flight import RecordedFlight, record_flight
from lnn_ros.learning.interpret_study import study
from lnn_ros.learning.jobs import provenance, seed_range
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.interpretation import attribution, history, saliency, time_constants
from lnn_ros.liquid.interpretation.history import Floats, History, Network
from lnn_ros.liquid.interpretation.time_constants import TimeConstants
from lnn_ros.liquid.spec import COMMAND
from lnn_ros.simulation.seeds import REPORTED

OUTCOMES = {"arrived": "arrived", "contact": "touched something", "timeout": "ran out of time"}


@dataclass(frozen=True)
class Interpretation:
    """Everything about one flight.

    Attributes
    ----------
    flight : RecordedFlight
        K intervals, M of them closed by a frame, and the truth about them.
    history : History
        The policy's states.
    saliency : ndarray, shape (M, H, W)
    ratio : ndarray, shape (M,)
        Saliency on the target against chance; NaN where it is not in the frame.
    constants : TimeConstants
    parts : ndarray, shape (K, 4, 4)
        What each of ``attribution.SOURCES`` adds to each command, m/s and rad/s.
    ceilings : ndarray, shape (4,)
        Of the commands.
    """

    flight: RecordedFlight
    history: History
    saliency: Floats
    ratio: Floats
    constants: TimeConstants
    parts: Floats
    ceilings: Floats

    @property
    def headline(self) -> str:
        """One line that says what flew where, and how it ended."""
        flight = self.flight
        return (
            f"A flight to the target, world {flight.seed}: "
            f"{OUTCOMES[flight.outcome]} after {flight.seconds[-1]:.1f} s"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; null stands for infinite and for undefined."""
        flight, constants = self.flight, self.constants
        pairs, phases = self.history.phases()
        return {
            "seed": flight.seed,
            "outcome": flight.outcome,
            "stamps_ns": flight.stamps_ns.tolist(),
            "camera": flight.camera.tolist(),
            "target": {
                "visible": flight.visible.tolist(),
                "distance_m": _plain(flight.distance),
                "bearing_rad": _plain(flight.bearing),
            },
            "saliency": {
                "method": "VisualBackProp",
                "stamps_ns": flight.stamps_ns[flight.camera].tolist(),
                "mass_on_target_over_chance": _plain(self.ratio),
            },
            "activity": {"names": self.history.names, "values": _plain(self.history.activity)},
            "phases": {"names": pairs, "rad": _plain(phases)},
            "time_constants": {
                "method": constants.method,
                "names": constants.names,
                "seconds": _plain(constants.seconds),
                "turning": constants.turning,
                "periods_s": _plain(constants.periods),
            },
            "attribution": {
                "sources": list(attribution.SOURCES),
                "commands": list(COMMAND),
                "after_s": saliency.AFTER_S,
                "values": _plain(self.parts),
            },
        }


def _plain(values: NDArray[Any]) -> Any:
    """Nested lists of six digits."""
    if values.ndim > 1:
        return [_plain(row) for row in values]
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values.tolist()]


def interpret(checkpoint: Checkpoint, flight: RecordedFlight) -> Interpretation:
    """Explain a policy's flight."""
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    past = history.run(network, flight.stamps_ns, flight.summaries, flight.frames)
    maps = saliency.visual_back_prop(network, flight.frames)
    baselines = attribution.Baselines.ordinary(flight.frames, past.summaries)
    return Interpretation(
        flight,
        past,
        maps,
        saliency.mass_ratio(maps, flight.masks),
        time_constants.of_history(network, past),
        attribution.shapley(network, past, baselines),
        saliency.ceilings(network),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("policy", nargs="?", type=Path, help="checkpoint; by default what ships")
    parser.add_argument("--task", default="fly_to_target",
                        help="name of a task, or path of a task file (default: %(default)s)")
    one = parser.add_argument_group("one flight, in pictures")
    one.add_argument("--seed", type=int, default=REPORTED.stop, help="world to fly")
    one.add_argument("--out", type=Path, help="folder for interpretation.json and the pictures")
    many = parser.add_argument_group("many flights, in numbers")
    many.add_argument("--seeds", type=seed_range, metavar="FIRST:END", help="worlds to fly")
    many.add_argument("--json", type=Path, help="write the numbers here")
    executors.add_arguments(many.add_argument)


def run(args: argparse.Namespace) -> int:
    """Interpret one flight, or many."""
    if (args.out is None) == (args.seeds is None):
        raise LnnError(
            "give --out FOLDER for the pictures of one flight, or --seeds FIRST:END for numbers "
            "over many, one of the two"
        )
    policy = args.policy or policies.path(args.task)
    checkpoint = load(policy)
    papers = {
        **provenance(" ".join(["lnn_ros", *sys.argv[1:]])),
        "weights_sha256": checkpoint.weights_digest(),
    }
    if args.seeds is not None:
        found = study(str(policy), args.task, args.seeds, executors.of(args))
        print(format_study(found))
        if args.json:
            seeds = [args.seeds.start, args.seeds.stop]
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({**papers, "seeds": seeds, **found}, indent=1) + "\n")
        return 0
    show(interpret(checkpoint, record_flight(checkpoint, args.seed, args.task)), papers, args.out)
    return 0


def show(found: Interpretation, papers: dict[str, Any], out: Path) -> None:
    """Write interpretation.json and the four pictures, and say where they are."""
    from lnn_ros.learning import interpret_figures as figures

    out.mkdir(parents=True, exist_ok=True)
    # Written first: whatever a picture may lack is in it.
    text = json.dumps({**papers, **found.to_json()})
    (out / "interpretation.json").write_text(text + "\n")
    figures.draw_saliency(found, out / "saliency.png")
    figures.draw_time_constants(found, out / "time_constants.png")
    figures.draw_activity(found, out / "activity.png")
    figures.draw_attribution(found, out / "attribution.png")
    print(found.headline)
    print(f"{out}: interpretation.json, saliency.png, time_constants.png, activity.png, "
          "attribution.png")  # fmt: skip


def format_study(found: dict[str, Any]) -> str:
    """Render the numbers as Markdown; brackets hold 95 % intervals over flights."""

    def cell(row: dict[str, Any] | None, digits: int) -> str:
        if row is None:
            return "-"
        low, high = row["interval"]
        value = row.get("value", row.get("r2"))
        return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    lines = [f"Flights: {len(found['flights'])}", ""]
    if found["saliency"]:
        looks, gone = found["saliency"], found["deletion"]
        lines += [
            "| saliency on the target, times chance | median |",
            "| --- | --- |",
            f"| this policy | {cell(looks['mass_ratio'], 2)} |",
            f"| random weights | {cell(looks['mass_ratio_random_weights'], 2)} |",
            "",
            f"| greyed, {100 * gone['deleted_share']:.0f} % of the pixels | command moves by, of "
            "its ceiling |",
            "| --- | --- |",
        ]
        lines += [
            f"| {name.replace('_', ' ')} | {cell(gone[name], 3)} |"
            for name in ("salient", "random_pixels", "same_shape_elsewhere")
        ]
        lines += [f"| the target, all of it | {cell(gone['target'], 3)} |", ""]
    parts = found["attribution"]
    lines += ["| adds to commands, of their ceilings | target in view | out of view |"]
    lines += ["| --- | --- | --- |"]
    for source in attribution.SOURCES:
        seen, hidden = (cell(parts[f"target_{name}"][source], 3) for name in ("visible", "hidden"))
        lines.append(f"| {source.replace('_', ' ')} | {seen} | {hidden} |")
    turns = parts["camera_turns_to_target"]
    lines += ["", f"The frame's part turns towards the target: {cell(turns, 2)} of the time", ""]
    asked = {name: row for name, row in found["probes"].items() if row}
    if asked:
        lines += ["| R2, read from | " + " | ".join(n.replace("_", " ") for n in asked) + " |"]
        lines += ["| --- |" + " --- |" * len(asked)]
        for source in [
            key for key in next(iter(asked.values())) if key not in ("flights", "intervals")
        ]:
            cells = (cell(row[source], 2) for row in asked.values())
            lines.append(f"| {source.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
