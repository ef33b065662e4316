"""Every topic there is: found, subscribed raw with the quality that is offered, and drained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

from lnn_ros.errors import LnnError
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.message_types import message_type

_DEPTH = 1000  # holds what arrives between two drains, at any rate that a robot has


@dataclass(frozen=True)
class Found:
    """A topic as it is offered.

    Attributes
    ----------
    name, kind : str
        Full name, and message type ``package/msg/Name``.
    reliable, latched : bool
        Whether every publisher is reliable, and whether every one keeps its last message.
    offered : tuple of Qos
        Of every publisher, as a bag states it.
    """

    name: str
    kind: str
    reliable: bool
    latched: bool
    offered: tuple[Qos, ...]


class Topics:
    """Subscriptions to every topic that has a publisher.

    Parameters
    ----------
    node : Node
        Where to subscribe.
    complaints : Complaints
        Where topics that cannot be subscribed, and messages that are lost, are counted and said.

    Attributes
    ----------
    lost : Counter of str
        Messages that did not arrive, by topic, where it has one publisher.
    """

    def __init__(self, node: Node, complaints: Complaints) -> None:
        self._node, self._complaints = node, complaints
        self._group = DrainedGroup()
        self._drains: dict[str, tuple[Found, Drain]] = {}
        self._refused: set[str] = set()
        self._patterns: tuple[str, ...] = ("*",)
        self._numbers: dict[str, int] = {}
        self.lost: Counter[str] = Counter()

    def choose(self, patterns: Sequence[str]) -> None:
        """Subscribe only topics that match one of these, and those of controllers."""
        self._patterns = tuple(patterns)

    def discover(self) -> list[Found]:
        """Subscribe what is new; return it. A topic whose offers changed is subscribed anew."""
        new = []
        offered = self._node.get_topic_names_and_types()
        wanted = self._wanted([name for name, _ in offered])
        for name, kinds in offered:
            if name not in wanted or name in self._refused:
                continue
            found = self._look(name, kinds[0])
            if found is None:
                continue
            known = self._drains.get(name)
            if known is not None:
                if (known[0].reliable, known[0].latched) == (found.reliable, found.latched):
                    continue
                known[1].close()
            try:
                drain = Drain(self._node, message_type(found.kind), name, _adopted(found),
                              self._group)
            except LnnError as error:
                self._refused.add(name)
                self._complaints.report(name, "refused", f"not recorded: {error}")
                continue
            self._drains[name] = (found, drain)
            if known is None:
                new.append(found)
        return new

    def take(self) -> list[tuple[int, str, bytes]]:
        """Return what has arrived: system time of arrival (ns), topic, payload; in that order."""
        return sorted(self._each(), key=lambda arrival: arrival[0])

    def refuse(self, name: str) -> None:
        """Leave a topic alone from now on."""
        self._refused.add(name)
        self._drains.pop(name)[1].close()

    def close(self) -> None:
        """End all subscriptions."""
        for _, drain in self._drains.values():
            drain.close()
        self._drains.clear()
        self._refused.clear()
        self._numbers.clear()

    def found(self) -> list[Found]:
        """Return the topics that are subscribed."""
        return [found for found, _ in self._drains.values()]

    def kind(self, name: str) -> str:
        """Return the message type of a topic that is subscribed."""
        return self._drains[name][0].kind

    def _wanted(self, names: list[str]) -> set[str]:
        """Return those that are to be subscribed."""
        if "*" in self._patterns:
            return set(names)
        found = {name for name in names if any(fnmatch(name, p) for p in self._patterns)}
        for name in names:
            if not name.endswith("/trace"):
                continue
            for offer in self._node.get_publishers_info_by_topic(name):
                who = offer.node_name, offer.node_namespace
                try:
                    found |= {topic for look in (self._node.get_publisher_names_and_types_by_node,
                                                 self._node.get_subscriber_names_and_types_by_node)
                              for topic, _ in look(*who)}
                except RuntimeError:  # rclpy: no such node; it is rather new, or already gone
                    continue
        return found

    def _each(self) -> Iterator[tuple[int, str, bytes]]:
        for name, (found, drain) in self._drains.items():
            for payload, information in drain.informed():
                if len(found.offered) == 1:
                    self._count(name, information.get("publication_sequence_number"))
                yield int(information["received_timestamp"]), name, payload

    def _count(self, name: str, number: int | None) -> None:
        """Count what a topic's only publisher has sent, and nobody here has received."""
        if number is None:  # of a middleware that does not tell
            return
        last = self._numbers.get(name, number)
        if number > last + 1:
            self.lost[name] += number - last - 1
            self._complaints.report(name, "lost", f"{number - last - 1} messages were sent and did "
                                    f"not arrive here")
        else:
            self._complaints.fine(name)
        self._numbers[name] = number

    def _look(self, name: str, kind: str) -> Found | None:
        offers = self._node.get_publishers_info_by_topic(name)
        if not offers:
            return None
        profiles = [offer.qos_profile for offer in offers]
        return Found(name, kind,
                     all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles),
                     all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles),
                     tuple(_as_recorded(p) for p in profiles))


def _adopted(found: Found) -> QoSProfile:
    """Return a quality that matches every publisher and asks for as much as all of them offer."""
    return QoSProfile(
        depth=_DEPTH,
        reliability=(ReliabilityPolicy.RELIABLE if found.reliable
                     else ReliabilityPolicy.BEST_EFFORT),
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if found.latched
                    else DurabilityPolicy.VOLATILE))


def _as_recorded(profile: QoSProfile) -> Qos:
    """Translate rclpy's description of a quality into rosbags'."""
    def time(duration: Any) -> QosTime:
        return QosTime(*divmod(duration.nanoseconds, 1_000_000_000))

    return Qos(QosHistory[profile.history.name], profile.depth,
               QosReliability[profile.reliability.name], QosDurability[profile.durability.name],
               time(profile.deadline), time(profile.lifespan),
               QosLiveliness[profile.liveliness.name], time(profile.liveliness_lease_duration),
               profile.avoid_ros_namespace_conventions)
