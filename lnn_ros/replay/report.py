"""What a replay found, as plain data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lnn_ros.messages import NS_PER_S
from lnn_ros.remap import MIN_COVERAGE
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.driving import Driver, percentiles
from lnn_ros.replay.tracing import Comparison

SHOWN = 5
"""Differences that the text shows; the data hold all."""


def describe(bag: Bag, topics: Mapping[str, Topic], driver: Driver,
             comparison: Comparison | None, wall_s: float) -> dict[str, Any]:
    """Everything, as plain data; seconds and nanoseconds as the names say.

    Parameters
    ----------
    bag : Bag
    topics : mapping of str to Topic
        By stream, and ``trace``.
    driver : Driver
        After the replay.
    comparison : Comparison, optional
        With the trace, if there is one.
    wall_s : float
        What the replay took, reading included.
    """
    start_ns, end_ns = bag.span_ns
    seconds = (end_ns - start_ns) / NS_PER_S
    return {
        "bag": {"path": str(bag.path), "start_ns": start_ns, "seconds": seconds,
                "topics": {name: {"name": t.name, "type": t.kind, "messages": t.count}
                           for name, t in topics.items()}},
        "commands": driver.commands,
        "episodes": driver.episodes,
        "gaps": driver.gaps,
        "counts": dict(sorted(driver.counts.items())),
        "reasons": dict(sorted(driver.decoder.reasons.items())),
        "camera_coverage": driver.decoder.coverage,
        "log_minus_stamp": {name: percentiles(lags) for name, lags in driver.lags_ns.items()},
        "latency": {name: percentiles(times) for name, times in sorted(driver.times_ns.items())},
        "wall_s": wall_s,
        "real_time_factor": seconds / wall_s if wall_s > 0 else None,
        "trace": None if comparison is None else _trace(comparison),
    }


def _trace(comparison: Comparison) -> dict[str, Any]:
    return {
        "commands": comparison.commands,
        "reproduced": comparison.reproduced,
        "without_policy": comparison.without_policy,
        "different": [{"at_ns": d.at_ns, "what": d.what, "traced": d.traced, "replayed": d.replayed}
                      for d in comparison.different],
        "unknown": [{"reason": u.fault.reason, "stream": u.fault.stream or None,
                     "stamp_ns": u.fault.stamp_ns or None, "commands": len(u.at_ns),
                     "first_ns": u.at_ns[0], "last_ns": u.at_ns[-1]} for u in comparison.unknown],
        "messages_not_taken": dict(comparison.not_taken),
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The same, for people."""
    bag = found["bag"]
    yield f"{bag['path']}: {bag['seconds']:.3f} s"
    for name, topic in bag["topics"].items():
        yield f"  {name}: {topic['messages']} messages on {topic['name']} ({topic['type']})"
    if "imu" not in bag["topics"]:
        yield "  no topic with inertial samples: the guard answers zeros without them"
    coverage = found["camera_coverage"]
    if coverage is not None:
        yield (f"  the camera sees {coverage:.0%} of what the policy looks at"
               + ("" if coverage >= MIN_COVERAGE else
                  f"; the controller would refuse it (at least {MIN_COVERAGE:.0%})"))
    for name, count in found["counts"].items():
        reason = found["reasons"].get(name)
        yield f"  {name}: {count}" + (f" ({reason})" if reason else "")
    yield (f"commands: {found['commands']}"
           + (f", in {found['episodes']} episodes" if found["episodes"] > 1 else "")
           + (f"; {found['gaps']} holes in the log" if found["gaps"] else ""))
    for name, lag in found["log_minus_stamp"].items():
        yield (f"{name}: logged {1e3 * lag['p50_s']:.1f} ms after its stamp "
               f"(p99 {1e3 * lag['p99_s']:.1f} ms)")
    for name, times in found["latency"].items():
        yield (f"time per {name}: p50 {1e3 * times['p50_s']:.3f} ms, "
               f"p99 {1e3 * times['p99_s']:.3f} ms ({times['n']})")
    if found["real_time_factor"] is not None:
        yield f"real-time factor: {found['real_time_factor']:.1f} ({found['wall_s']:.2f} s)"
    if found["trace"] is not None:
        yield from _trace_lines(found["trace"])


def _trace_lines(trace: Mapping[str, Any]) -> Iterator[str]:
    others = trace["without_policy"]
    yield (f"reproduced {trace['reproduced']} of {trace['commands']} live commands bit for bit"
           + (f" ({others} of them not decided by the policy)" if others else ""))
    for unknown in trace["unknown"]:
        where = f": {unknown['stream']}" if unknown["stream"] else ""
        where += f" stamped {unknown['stamp_ns']} ns" if unknown["stamp_ns"] else ""
        yield (f"  {unknown['commands']} cannot be, from {unknown['first_ns']} to "
               f"{unknown['last_ns']} ns: {unknown['reason']}{where}")
    different = trace["different"]
    for one in different[:SHOWN]:
        yield (f"  DIFFERENT {one['what']} at {one['at_ns']} ns: live {one['traced']}, "
               f"replayed {one['replayed']}")
    if len(different) > SHOWN:
        yield f"  and {len(different) - SHOWN} more that differ"
