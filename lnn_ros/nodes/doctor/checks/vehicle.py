"""The vehicle: whether it speaks, and is told, by one controller through one adapter."""

from __future__ import annotations

from collections.abc import Iterator

from lnn_ros import messages, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes.doctor.checks.topics import elsewhere, mismatch, names, short
from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import Quality, Snapshot
from lnn_ros.nodes.doctor.status import said, sentence

_COMMAND = "geometry_msgs/msg/TwistStamped"
BYSTANDERS = ("/companion", "/rosbag2_recorder", "/foxglove_bridge", "/rviz", "/rviz2")
"""How nodes are called that listen to everything and are no vehicle."""
_ARE = ("is", "are")
_ADAPTER = "start it: ros2 run lnn_ros vehicle_adapter (launch does), with the same namespace " \
           "and remaps"


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the way of a command to the vehicle, and what comes back."""
    yield from _commands(seen)
    if not seen.settings.lockstep:  # there the simulator hears the controller itself
        yield from _adapter(seen)
        yield from _told(seen)
        yield from _speaks(seen)
    yield from _state(seen)


def _commands(seen: Snapshot) -> Iterator[Finding]:
    """Who says cmd_vel, who hears it."""
    name = seen.names.command
    topic, heard = seen.topic(name), seen.listened("cmd_vel")
    what = "cmd_vel"
    if len(topic.publishers) > 1:
        yield fail(what, f"{name} has {len(topic.publishers)} publishers, "
                   f"{names(topic.publishers)}: expected one, the controller",
                   "stop the others, or give them takeover, where a person wins: while there are "
                   "several the vehicle adapter obeys nobody")
    elif topic.publishers and topic.publishers[0].kind != _COMMAND:
        yield fail(what, f"{name} carries {short(topic.publishers[0].kind)} from "
                   f"{names(topic.publishers)}: expected TwistStamped from the controller",
                   "stop it, or remap it to another topic")
    elif topic.publishers and topic.publishers[0].node != seen.names.controller:
        yield warn(what, f"{name} is said by {names(topic.publishers)}, not by "
                   f"{seen.names.controller}", "stop it: else the vehicle adapter obeys nobody "
                   "once the controller runs")
    elif topic.publishers:
        yield ok(what, f"{name}: one publisher, {names(topic.publishers)}")
    bad = [r for r in topic.readers
           if r.kind != _COMMAND and not r.node.endswith(BYSTANDERS)]
    if bad:
        yield fail(what, f"{names(bad)} listens for {short(bad[0].kind)} on {name}, which carries "
                   f"TwistStamped", f"remap it to the topic on which the vehicle adapter tells the "
                   f"vehicle ({', '.join(seen.names.told.values())}), with the parameter vehicle: "
                   f"twist for a Twist")
    yield from _deaf(seen)
    frames = [frame for frame in heard.frames if frame != seen.adapter.base_frame]
    if frames:
        yield fail(what, f"commands are in frame {frames[0]!r}: the vehicle adapter drops all but "
                   f"{seen.adapter.base_frame}", "set base_frame of controller and vehicle adapter "
                   "to the same")


def _deaf(seen: Snapshot) -> Iterator[Finding]:
    """Who listens for commands and hears nothing of one who says them."""
    topic = seen.topic(seen.names.command)
    for publisher in topic.publishers:
        ours = publisher.node == seen.names.controller
        for node in sorted({reader.node for reader in topic.readers}):
            # A node may listen twice, and with one of the two for its events only.
            wrong = [mismatch(publisher.quality, reader.quality) for reader in topic.readers
                     if reader.node == node and reader.kind == publisher.kind]
            if wrong and all(wrong):
                least = min(wrong, key=len)
                yield fail("cmd_vel", f"{node} hears nothing of {publisher.node}: {least[0][0]}",
                           f"change the {least[0][1]} of {node if ours else publisher.node}")


def _adapter(seen: Snapshot) -> Iterator[Finding]:
    """Whether the vehicle adapter runs, and what it says."""
    what, node = "vehicle_adapter", seen.names.adapter
    hears = any(r.node == node for r in seen.topic(seen.names.command).readers)
    if not seen.runs(node):
        commanded = bool(seen.topic(seen.names.command).publishers)
        listeners = [r for r in seen.topic(seen.names.command).readers
                     if not r.node.endswith(BYSTANDERS)]
        direct = f"; {names(listeners)} hears the controller itself" if listeners else ""
        tell = fail if commanded else warn
        yield tell(what, f"{node} does not run{direct}: nothing stops the vehicle when the "
                   f"controller dies", _ADAPTER)
        return
    status = seen.listened("vehicle_adapter/status").last
    level, text = sentence(status)
    if level == "error":
        yield fail(what, f"{node}: {text}", "set the parameter vehicle to one that is there "
                   f"({', '.join(vehicles.kinds())}), and install its message types")
    elif not hears:
        yield fail(what, f"{node} does not listen to {seen.names.command}",
                   "start controller and vehicle adapter with the same remap of cmd_vel")
    elif said(status).get("state") == "contested":
        yield fail(what, text, "stop all publishers of cmd_vel but the controller")
    elif said(status).get("state") == "timed out" and seen.listened("cmd_vel").arrivals_ns:
        yield fail(what, f"{text}, though commands come",
                   f"see what it drops: {_counts(status)}")
    elif said(status).get("state") == "timed out":
        yield warn(what, text, "start and activate the controller")
    else:
        yield ok(what, f"{node}: {text or 'it runs'}")


def _counts(status: object) -> str:
    """Return what an adapter has dropped, by its own count."""
    dropped = [f"{count} {key}" for key, count in said(status).items()
               if key.startswith("cmd_vel.")]
    return ", ".join(dropped) or "its log says"


def _told(seen: Snapshot) -> Iterator[Finding]:
    """Whether the vehicle hears the adapter, and nobody else speaks there."""
    vehicle = vehicles.make(seen.adapter.vehicle)
    if seen.absent:
        yield fail("vehicle types", f"{', '.join(seen.absent)} {_ARE[len(seen.absent) > 1]} not "
                   f"installed for Python", f"install or build the package of vehicle: "
                   f"{vehicle.kind}, in the version of its firmware, and source it")
    for ours, kind in vehicle.takes.items():
        name = seen.names.told.get(ours, ours)
        topic = seen.topic(name)
        rivals = [p for p in topic.publishers if p.node != seen.names.adapter]
        vehicles_own = [r for r in topic.readers if not r.node.endswith(BYSTANDERS)]
        readers = [r for r in vehicles_own if r.kind == kind]
        others = [r for r in vehicles_own if r.kind != kind]
        if rivals:
            yield fail(ours, f"{names(rivals)} tells the vehicle on {name}, too",
                       "stop it: only the vehicle adapter may tell the vehicle what to do")
        elif others and not readers:
            yield fail(ours, f"{names(others)} listens for {short(others[0].kind)} on {name}; "
                       f"vehicle: {vehicle.kind} tells it {short(kind)}", _fitting(others[0].kind))
        elif not readers:
            yield _unheard(seen, ours, name, kind)
        else:
            wrong = mismatch(Quality(), readers[0].quality)
            if wrong:
                yield fail(ours, f"{readers[0].node} hears nothing of {name}: {wrong[0][0]}",
                           f"change the {wrong[0][1]} that {readers[0].node} asks for: the "
                           f"adapter's is reliable, volatile")
            else:
                yield ok(ours, f"{name}: {short(kind)} for {names(readers)}")


def _unheard(seen: Snapshot, ours: str, name: str, kind: str) -> Finding:
    """Say that no vehicle listens, and where one may."""
    used = {seen.names.command, *seen.names.told.values(), *(i.topic for i in seen.inputs)}
    listening = sorted(other for other, topic in seen.topics.items() if other not in used
                       and any(r.kind == kind and r.node != seen.names.controller
                               and not r.node.endswith(BYSTANDERS) for r in topic.readers))
    remedy = (f"remap {ours}:={listening[0]}, where {short(kind)} is listened for" if listening
              else f"start the autopilot's bridge, and remap {ours} to the topic on which it "
              f"takes {short(kind)}")
    return fail(ours, f"nobody listens on {name}: the vehicle hears nothing", remedy)


def _fitting(kind: str) -> str:
    """Return which vehicle takes a type."""
    fitting = [name for name in vehicles.kinds() if kind in vehicles.make(name).takes.values()]
    return (f"set the parameter vehicle to {' or '.join(fitting)}" if fitting else
            f"no vehicle of this package takes {kind}: put a conversion into lnn_ros/vehicles")


def _speaks(seen: Snapshot) -> Iterator[Finding]:
    """Whether the vehicle says what its adapter wants to hear."""
    vehicle = vehicles.make(seen.adapter.vehicle)
    for ours, kind in vehicle.says.items():
        name = seen.names.said.get(ours, ours)
        publishers = seen.topic(name).publishers
        if not publishers:
            others = elsewhere(seen, kind)
            yield fail(ours, f"nobody publishes {name} ({short(kind)})",
                       f"remap {ours}:={others[0]}" if others else "start the autopilot's bridge, "
                       f"or remap {ours} to its topic")
        elif all(p.kind != kind for p in publishers):
            yield fail(ours, f"{name} carries {publishers[0].kind}: expected {kind}",
                       f"remap {ours}, or set the parameter vehicle to what the vehicle is")
        elif ours in vehicle.latched and not any(p.quality.latched for p in publishers):
            yield fail(ours, f"{name}: volatile is offered and transient local asked for",
                       f"change the durability of {names(publishers)}: it is said only when it "
                       f"changes, so who comes later has to get what was kept")
        else:
            yield ok(ours, f"{name}: {short(kind)} from {names(publishers)}")


def _state(seen: Snapshot) -> Iterator[Finding]:
    """What the vehicle says of itself."""
    what, modes = "vehicle_state", seen.settings.modes
    wanted = {"airborne": modes.require_airborne, "velocity_mode": modes.require_velocity_mode}
    heard = seen.listened(what)
    asked = [f"modes.require_{word}" for word, needed in wanted.items() if needed]
    topic = next((i.topic for i in seen.inputs if i.name == what), what)
    if not asked or not seen.topic(topic).publishers:
        return  # said by topics, if it matters
    if heard.last is None:
        return  # said by timing
    try:
        words = dict(zip(wanted, messages.vehicle_state(heard.last), strict=True))
    except LnnError as error:
        yield fail(what, str(error), "let its publisher say true, false or nothing")
        return
    text = ", ".join(f"{word} {'unknown' if value is None else str(value).lower()}"
                     for word, value in words.items())
    unknown = [word for word, value in words.items() if value is None and wanted[word]]
    refused = [word for word, value in words.items() if value is False and wanted[word]]
    if unknown:
        yield fail(what, text, f"see why the vehicle does not say {' and '.join(unknown)} (is the "
                   f"parameter vehicle right?): unknown is as bad as no")
    else:
        yield ok(what, f"{text}{': engaging is refused until it is' if refused else ''}")
