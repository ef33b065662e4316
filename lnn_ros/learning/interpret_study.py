"""Interpretation in numbers, over many worlds: whether what the pictures show means something.

Flights are the units of all statistics: frames of one flight are no independent witnesses. Numbers
of a flight are means over its intervals; 95 % intervals are percentile bootstraps over flights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning.executors import Executor
from lnn_ros.learning.interpret_flight import RecordedFlight, record_flight
from lnn_ros.learning.jobs import Progress
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.liquid.interpretation import attribution, history, probes, saliency, time_constants
from lnn_ros.liquid.interpretation.history import Floats, History, Network
from lnn_ros.liquid.spec import COMMAND

LOOKS = 12
"""Frames of a flight whose saliency is measured, evenly spread over the usable ones."""
USABLE = (4, 0.25)
"""Target masks from so many pixels to such a share of the frame: a mask that fills the frame would
hold all mass by itself."""
DELETED = 0.05
"""Share of the pixels that the deletion test greys."""
DRAWS = 3
"""Random networks, and random sets of pixels of a frame."""
HIDDEN_S = 3.0
"""Longest time for which a target that was in view may be out of it, for what is remembered of it:
those who have lost it for good are few, and would decide everything."""
FEWEST = 10
"""Flights that a probe needs to be reported."""


@dataclass(frozen=True)
class Job:
    """A flight to measure: checkpoint, task and world."""

    policy: str
    task: str
    seed: int


@lru_cache(maxsize=1)
def networks(path: str) -> tuple[Checkpoint, Network, list[Network]]:
    """A policy, and what it was before it learned anything: random weights in the same wiring."""
    checkpoint = load(path)
    spec, arrays = checkpoint.spec, checkpoint.arrays
    masks = {name: arrays[name] for name in spec.masks()}
    drawn = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        values = {f"encoder.{k}": v for k, v in spec.encoder.initialise(rng).items()}
        values |= {f"core.{k}": v for k, v in spec.core.initialise(rng, masks).items()}
        drawn.append(Network.of(spec, {**arrays, **values}))
    return checkpoint, Network.of(spec, arrays), drawn


def measure(job: Job) -> dict[str, Any]:
    """Fly one world and measure everything that needs its frames."""
    checkpoint, network, drawn = networks(job.policy)
    flight = record_flight(checkpoint, job.seed, job.task)
    past = history.run(network, flight.stamps_ns, flight.summaries, flight.frames)
    read: dict[str, Floats] = {
        "neurons": past.activity,
        "encoder_features": past.features,
        "summary": past.summaries,
    }
    for i, other in enumerate(drawn):  # the trained encoder, an untrained core
        blank = history.run(other, flight.stamps_ns, flight.summaries, features=past.features)
        read[f"random_core_{i}"] = blank.activity
    constants = time_constants.of_history(network, past)
    return {
        "seed": flight.seed,
        "outcome": flight.outcome,
        "intervals": len(flight.stamps_ns),
        "frames": len(flight.frames),
        "hidden": float(1.0 - flight.visible.mean()),
        "saliency": measure_saliency(network, drawn, flight, past),
        "attribution": measure_attribution(network, flight, past),
        "method": constants.method,
        "time_constants": dict(
            zip(constants.names, np.median(constants.seconds, 0).tolist(), strict=True)
        ),
        "read": read,
        "distance": flight.distance,
        "bearing": flight.bearing,
        "nearness": flight.nearness,
        "visible": flight.visible,
        "remembered": (flight.hidden_s > 0.0) & (flight.hidden_s <= HIDDEN_S),
    }


def measure_saliency(
    network: Network, drawn: list[Network], flight: RecordedFlight, past: History
) -> dict[str, float] | None:
    """Mass in the target's mask and the deletion test; None if the target is never usable."""
    least, most = USABLE
    usable = np.flatnonzero(
        (flight.masks.sum((1, 2)) >= least) & (flight.masks.mean((1, 2)) <= most)
    )
    if not len(usable):
        return None
    looks = usable[np.unique(np.linspace(0, len(usable) - 1, LOOKS).round().astype(int))]
    frames, masks = flight.frames[looks], flight.masks[looks]
    seen = past.take(np.flatnonzero(past.camera)[looks])
    maps = saliency.visual_back_prop(network, frames)

    def on_target(found: Floats) -> float:
        # No saliency at all is no better than chance.
        return float(np.median(np.nan_to_num(saliency.mass_ratio(found, masks), nan=1.0)))

    untrained = [on_target(saliency.visual_back_prop(other, frames)) for other in drawn]
    rng = np.random.default_rng((flight.seed, 0x5A))
    pixels = round(DELETED * maps[0].size)
    grey = frames.mean((1, 2), keepdims=True)
    command = network.read(seen.after, seen.summaries, saliency.AFTER_S)
    ceilings = saliency.ceilings(network)

    def moved(gone: NDArray[np.bool_]) -> float:
        without = saliency.commands_without(network, seen, frames, gone, grey)
        return float(np.linalg.norm((without - command) / ceilings, axis=1).mean())

    top = saliency.most_salient(maps, pixels)
    anywhere = [saliency.most_salient(rng.random(maps.shape), pixels) for _ in range(DRAWS)]
    elsewhere = [
        np.stack([np.roll(mask, rng.integers(0, mask.shape), (0, 1)) for mask in top])
        for _ in range(DRAWS)
    ]
    return {
        "looks": len(looks),
        "mass_ratio": on_target(maps),
        "mass_ratio_random_weights": float(np.mean(untrained)),
        "mask_share": float(np.median(masks.mean((1, 2)))),
        "salient": moved(top),
        "random_pixels": float(np.mean([moved(gone) for gone in anywhere])),
        "same_shape_elsewhere": float(np.mean([moved(gone) for gone in elsewhere])),
        "target": moved(masks),
    }


def measure_attribution(network: Network, flight: RecordedFlight, past: History) -> dict[str, Any]:
    """Mean size of each source's part, and whether the camera's turns towards the target."""
    baselines = attribution.Baselines.ordinary(flight.frames, past.summaries)
    parts = attribution.shapley(network, past, baselines)
    share = np.abs(parts) / saliency.ceilings(network)
    seen, yaw = flight.visible, COMMAND.index("yaw_rate")
    camera = parts[:, attribution.SOURCES.index("camera"), yaw]
    moving = seen & (np.abs(flight.bearing) > np.radians(5.0))
    agree = np.sign(camera[moving]) == np.sign(flight.bearing[moving])
    return {
        "visible": share[seen].mean((0, 2)).tolist() if seen.any() else None,
        "hidden": share[~seen].mean((0, 2)).tolist() if not seen.all() else None,
        "turns_to_target": float(agree.mean()) if moving.any() else None,
    }


def study(policy: str, task: str, seeds: range, executor: Executor) -> dict[str, Any]:
    """Fly worlds and put the numbers together.

    Parameters
    ----------
    policy : str
        A checkpoint's path.
    task : str
    seeds : range
        Worlds; at least ``FEWEST``.
    executor : Executor
        Who flies.

    Returns
    -------
    dict
        Plain data: "saliency", "deletion", "attribution", "probes", "time_constants", "flights".
    """
    if len(seeds) < FEWEST:
        raise LnnError(f"{len(seeds)} worlds found, expected at least {FEWEST}: --seeds FIRST:END")
    jobs = [Job(policy, task, seed) for seed in seeds]
    progress = Progress("flights", len(jobs))
    flights = []
    for done, flight in enumerate(executor.run(measure, jobs), 1):
        flights.append(flight)
        progress.show(done)
    keys = ("seed", "outcome", "intervals", "frames", "hidden", "saliency", "attribution")
    return {
        **summarise_saliency([f["saliency"] for f in flights if f["saliency"]]),
        "attribution": summarise_attribution([f["attribution"] for f in flights]),
        "probes": summarise_probes(flights),
        "time_constants": {
            "method": flights[0]["method"],
            "seconds": {
                name: _quantiles([f["time_constants"][name] for f in flights])
                for name in flights[0]["time_constants"]
            },
        },
        "flights": [{key: flight[key] for key in keys} for flight in flights],
    }


def summarise_saliency(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Over flights: mass ratios (medians) and the deletion test (means and paired differences)."""
    if not rows:
        return {"saliency": None, "deletion": None}

    def column(name: str) -> Floats:
        return np.array([row[name] for row in rows])

    ratios = {
        name: interval(column(name), np.median)
        for name in ("mass_ratio", "mass_ratio_random_weights")
    }
    kinds = ("salient", "random_pixels", "same_shape_elsewhere", "target")
    deletion = {name: interval(column(name), np.mean) for name in kinds}
    for name in ("random_pixels", "same_shape_elsewhere"):
        more = column("salient") - column(name)
        deletion[f"salient_minus_{name}"] = interval(more, np.mean)
    looks = {"flights": len(rows), "frames": int(column("looks").sum())}
    return {
        "saliency": {**looks, "mask_share": float(np.median(column("mask_share"))), **ratios},
        "deletion": {**looks, "deleted_share": DELETED, **deletion},
    }


def summarise_attribution(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean absolute parts, in shares of the commands' ceilings, by source."""
    out: dict[str, Any] = {}
    for name in ("visible", "hidden"):
        parts = np.array([row[name] for row in rows if row[name]])
        out[f"target_{name}"] = {
            source: interval(parts[:, i], np.mean) if len(parts) else None
            for i, source in enumerate(attribution.SOURCES)
        }
    turns = [row["turns_to_target"] for row in rows if row["turns_to_target"] is not None]
    out["camera_turns_to_target"] = interval(np.array(turns), np.mean) if turns else None
    return out


def summarise_probes(flights: list[dict[str, Any]]) -> dict[str, Any]:
    """R2 of every quantity from every source of numbers, flights held out."""
    groups = np.repeat([f["seed"] for f in flights], [f["intervals"] for f in flights])
    visible, remembered = (
        np.concatenate([f[name] for f in flights]) for name in ("visible", "remembered")
    )
    everywhere = np.ones(len(visible), bool)
    asked = {
        "target_distance": ("distance", visible),
        "target_bearing": ("bearing", visible),
        "target_bearing_hidden": ("bearing", remembered),
        "obstacle_nearness": ("nearness", everywhere),
    }
    out: dict[str, Any] = {}
    for name, (key, where) in asked.items():
        if len(np.unique(groups[where])) < FEWEST:
            out[name] = None
            continue
        y = np.concatenate([f[key] for f in flights])[where]
        out[name] = {"flights": len(np.unique(groups[where])), "intervals": int(where.sum())}
        for source in flights[0]["read"]:
            x = np.concatenate([f["read"][source] for f in flights])[where]
            found = probes.probe(x, y, groups[where])
            out[name][source] = {
                "r2": found.r2,
                "interval": list(found.interval),
                "over_flights": _quantiles(list(found.flights.values())),
            }
    return out


def interval(
    values: Floats, statistic: Callable[[Floats, int], Any], draws: int = 2000
) -> dict[str, Any]:
    """Return a statistic over flights with its 95 % interval."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (draws, len(values)))]
    low, high = np.percentile(statistic(drawn, 1), (2.5, 97.5))
    return {"value": float(statistic(values, 0)), "interval": [float(low), float(high)]}


def _quantiles(values: list[float]) -> dict[str, float] | None:
    """Quartiles of what is finite; None if nothing is."""
    finite = np.array(values)[np.isfinite(values)]
    if not len(finite):
        return None
    low, middle, high = np.percentile(finite, (25, 50, 75))
    return {"q25": float(low), "median": float(middle), "q75": float(high)}
