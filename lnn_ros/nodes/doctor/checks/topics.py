"""Topics that the controller reads: one publisher each, of the type and quality asked for."""

from __future__ import annotations

from collections.abc import Iterator

from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import Endpoint, Input, Quality, Snapshot

_TWIN = {"sensor_msgs/msg/Image": "sensor_msgs/msg/CompressedImage",
         "geometry_msgs/msg/TwistStamped": "geometry_msgs/msg/Twist"}
_TWINS = {**_TWIN, **{there: here for here, there in _TWIN.items()}}
"""Types that stand for the same, one with a parameter of ours and one without."""
_PARAMETER = {"sensor_msgs/msg/Image": "image_transport: raw",
              "sensor_msgs/msg/CompressedImage": "image_transport: compressed",
              "geometry_msgs/msg/TwistStamped": "takeover.stamped: true",
              "geometry_msgs/msg/Twist": "takeover.stamped: false"}
_COMPRESSED = "/compressed"
_ANYTHING = ("diagnostic_msgs/msg/DiagnosticStatus", "std_msgs/msg/Bool")
"""Types that say nothing about what is meant: no topic is taken for another by them."""
_OTHER = ("depth", "infra", "debug", "mask")  # in names of images that are no camera's: told last
_MOST = 3  # names that are told


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge every topic that the controller reads."""
    for wanted in seen.inputs:
        publishers = seen.topic(wanted.topic).publishers
        if not publishers:
            missing = _missing(seen, wanted)
            if missing is not None:
                yield missing
            continue
        good = [p for p in publishers if p.kind == wanted.kind]
        if not good:
            yield _wrong_type(wanted, publishers)
            continue
        yield _count(wanted, publishers, good)
        yield from _quality(seen, wanted, good)


def mismatch(offer: Quality, ask: Quality) -> list[tuple[str, str]]:
    """Say why a publisher and a reader do not find together.

    Returns
    -------
    list of (str, str)
        What is offered and asked, and what to change; empty where they do (DDS 1.4, 2.2.3).
    """
    found = []
    if ask.reliable and not offer.reliable:
        found.append(("best effort is offered and reliable asked for", "reliability"))
    if ask.latched and not offer.latched:
        found.append(("volatile is offered and transient local asked for", "durability"))
    if offer.deadline_s > ask.deadline_s:
        found.append((f"a deadline of {offer.deadline_s:g} s is offered and one of "
                      f"{ask.deadline_s:g} s asked for", "deadline"))
    if (ask.manual and not offer.manual) or offer.lease_s > ask.lease_s:
        found.append(("less liveliness is offered than asked for", "liveliness"))
    return found


def names(endpoints: tuple[Endpoint, ...] | list[Endpoint]) -> str:
    """Name the nodes of endpoints."""
    return " and ".join(sorted(endpoint.node for endpoint in endpoints))


def short(kind: str) -> str:
    """Return a message type without its package."""
    return kind.rpartition("/")[2]


def elsewhere(seen: Snapshot, kind: str) -> list[str]:
    """Return topics that carry a type, from others than our nodes, and are not in use."""
    if kind in _ANYTHING:
        return []
    used = {wanted.topic for wanted in seen.inputs} | {
        seen.names.command, *seen.names.told.values(), *seen.names.said.values()}
    ours = (seen.names.controller, seen.names.adapter)
    found = [name for name, topic in seen.topics.items() if name not in used and any(
        p.kind == kind and p.node not in ours for p in topic.publishers)]
    return sorted(found, key=lambda name: (any(word in name for word in _OTHER), name))


def _missing(seen: Snapshot, wanted: Input) -> Finding | None:
    """Say that nobody publishes, and which other topic may be meant."""
    what = f"{wanted.name} topic"
    if not wanted.needed:
        return None
    found = f"nobody publishes {wanted.topic} ({short(wanted.kind)})"
    if wanted.topic in (name for name, topic in seen.topics.items() if topic.readers):
        found += ", which is listened to"
    others = elsewhere(seen, wanted.kind)
    if others:
        moved = [_source_of(wanted, name) for name in others[:_MOST]]
        also = f" (or {', '.join(moved[1:])})" if moved[1:] else ""
        space = others[0].removesuffix(f"/{wanted.name}").strip("/")
        if others[0].endswith(f"/{wanted.name}") and space:
            also += f"; or is it --namespace {space}?"
        return fail(what, f"{found}; {', '.join(others[:_MOST])} "
                    f"carr{'ies' if len(others) == 1 else 'y'} {short(wanted.kind)}",
                    f"remap {wanted.remap}:={moved[0]}{also}")
    twin = _TWINS.get(wanted.kind, "") if wanted.remap == "image" else ""
    others = elsewhere(seen, twin) if twin else []
    if others:
        return fail(what, f"{found}; {others[0]} carries {short(twin)}",
                    f"set {_PARAMETER[twin]}{_moved(others[0], twin)}")
    return fail(what, found, f"start {wanted.source}, or remap {wanted.remap} to its topic "
                f"({wanted.needed})")


def _source_of(wanted: Input, name: str) -> str:
    """Return what a name is remapped to so that the controller reads a topic."""
    return name.removesuffix(_COMPRESSED) if wanted.remapped else name


def _wrong_type(wanted: Input, publishers: tuple[Endpoint, ...]) -> Finding:
    kind = publishers[0].kind
    remedy = (f"let {names(publishers)} publish {short(wanted.kind)}, or remap {wanted.remap} to a "
              f"topic that carries it")
    if kind == _TWINS.get(wanted.kind) and wanted.remap in ("image", "takeover"):
        remedy = f"set {_PARAMETER[kind]}{_moved(wanted.topic, kind)}"
    return fail(f"{wanted.name} topic", f"{wanted.topic} carries {short(kind)} from "
                f"{names(publishers)}: expected {short(wanted.kind)}", remedy)


def _moved(topic: str, kind: str) -> str:
    """Say which remap leads to a topic of images, once image_transport fits their type."""
    if kind == "sensor_msgs/msg/Image":
        return f" and remap image:={topic}"
    if kind != "sensor_msgs/msg/CompressedImage":
        return ""
    # The controller adds /compressed to the name of image, as image_transport does.
    base = topic.removesuffix(_COMPRESSED)
    return (f" and remap image:={base}" if base != topic else
            f" and remap image/compressed:={topic}")


def _count(wanted: Input, publishers: tuple[Endpoint, ...], good: list[Endpoint]) -> Finding:
    what, kind = f"{wanted.name} topic", short(wanted.kind)
    if len(good) < len(publishers):
        bad = [p for p in publishers if p.kind != wanted.kind]
        return warn(what, f"{wanted.topic} carries {kind} from {names(good)} and "
                    f"{short(bad[0].kind)} from {names(bad)}",
                    f"stop {names(bad)}, or give it another topic")
    if wanted.single and len(good) > 1:
        return fail(what, f"{wanted.topic} has {len(good)} publishers, {names(good)}: expected "
                    f"one", f"stop all but one of them, or remap {wanted.remap} to the topic of "
                    f"one")
    return ok(what, f"{wanted.topic}: {kind} from {names(good)}")


def _quality(seen: Snapshot, wanted: Input, good: list[Endpoint]) -> Iterator[Finding]:
    """Compare what is offered with what the controller asks for, and other readers."""
    what = f"{wanted.name} quality"
    for publisher in good:
        wrong = mismatch(publisher.quality, wanted.asks)
        if wrong:
            sentences, policies = zip(*wrong, strict=True)
            yield fail(what, f"{publisher.node}: {'; '.join(sentences)}",
                       f"change the {' and '.join(policies)} of {publisher.node}"
                       + (": the controller asks for reliable samples because lockstep is true, "
                          "which is for the embedded simulator only"
                          if wanted.asks.reliable else ""))
            return
    ours = (seen.names.controller, seen.names.adapter)
    for reader in seen.topic(wanted.topic).readers:
        wrong = [pair for publisher in good if publisher.kind == reader.kind
                 for pair in mismatch(publisher.quality, reader.quality)]
        if wrong and reader.node not in ours:
            yield warn(what, f"{reader.node} reads nothing of {wanted.topic}: {wrong[0][0]}",
                       f"change the {wrong[0][1]} that {reader.node} asks for")
            return
    offer = good[0].quality
    yield ok(what, f"{'reliable' if offer.reliable else 'best effort'}"
             f"{', latched' if offer.latched else ''} is offered, "
             f"{'reliable' if wanted.asks.reliable else 'best effort'} asked for")
