"""The controller, if it runs: its state, its troubles, and whether it listens where we look."""

from __future__ import annotations

from collections.abc import Iterator

from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import SENSED, Snapshot
from lnn_ros.nodes.doctor.status import said, sentence

MOST_DROPPED = 0.05
"""Share of the samples: fewer come late now and then on a busy computer."""


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge what the controller says of itself."""
    node = seen.names.controller
    if not seen.runs(node):
        others = sorted(name for name in seen.nodes if name.endswith("/controller"))
        yield warn("controller", f"{node} does not run", f"give the doctor --namespace "
                   f"{others[0].rpartition('/')[0].strip('/') or '/'} ({others[0]} runs)"
                   if others else "start it: ros2 launch lnn_ros drone.launch.py sim:=none")
        return
    yield from _listens(seen)
    status = seen.listened("controller/status").last
    level, text = sentence(status)
    values = said(status)
    active, state = values.get("active") == "true", seen.lifecycle.get(node)
    if state is not None and state != "active":
        yield fail("controller lifecycle", f"{node} is {state}{f': {text}' if text else ''}",
                   "mend what it says and start it again" if level == "error" else
                   f"ros2 lifecycle set {node} "
                   f"{'activate' if state == 'inactive' else 'configure'}, or autostart: true")
    elif state is not None:
        yield ok("controller lifecycle", f"{node} is {state}")
    yield from _drops(seen)
    if status is None:
        yield warn("controller", f"{node} says nothing on {node}/status",
                   "see whether it hangs; over a network, whether latched topics pass")
    elif level == "error":
        yield fail("controller", text, f"look into its log, mend what it says, then ros2 service "
                   f"call {node}/reset std_srvs/srv/Trigger")
    elif values.get("troubles"):
        yield (fail if active else warn)("controller", text, "mend these: the lines above say how")
    elif level == "warn":
        yield warn("controller", text, f"once that is mended, a person engages again: ros2 service "
                   f"call {node}/engage std_srvs/srv/Trigger")
    else:
        yield ok("controller", text)


def _drops(seen: Snapshot) -> Iterator[Finding]:
    """Samples that came and were not taken while the doctor listened."""
    if not seen.dropped:
        return
    many = []
    for key, count in sorted(seen.dropped.items()):
        came = len(seen.listened(SENSED[key.partition(".")[0]]))
        many.append((count > MOST_DROPPED * came, f"{count} of {came} {key}"))
    text = f"not all samples were taken: {', '.join(words for _, words in many)}"
    if any(worth for worth, _ in many):
        yield warn("controller samples", text, "see what the lines about stamps, repeats and "
                   "content say; the controller's log has a sentence for each kind")
    else:
        yield ok("controller samples", text)


def _listens(seen: Snapshot) -> Iterator[Finding]:
    """Compare the topics that it reads with those that were looked at."""
    node = seen.names.controller
    read = {name: [r.kind for r in topic.readers if r.node == node]
            for name, topic in seen.topics.items()}
    read = {name: kinds for name, kinds in read.items() if kinds}
    if not read:
        return  # not configured
    for wanted in seen.inputs:
        if wanted.kind in read.get(wanted.topic, ()):
            continue
        if not wanted.needed or wanted.name == "/clock":
            continue
        meant = sorted(name for name, kinds in read.items() if wanted.kind in kinds
                       and name not in {i.topic for i in seen.inputs})
        elsewhere = f", but to {', '.join(meant)}" if meant else ""
        yield fail("controller topics", f"{node} does not listen to {wanted.topic}{elsewhere}",
                   f"start it with the remap {wanted.remap}:={wanted.topic}, or give the doctor "
                   f"the robot that it was started with")
