"""The graph of nodes and topics, as plain data."""

from __future__ import annotations

import math
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from lnn_ros.nodes.doctor.snapshot import Endpoint, Quality, Topic

_ENDLESS_S = 9e9  # what stands for no limit is about 292 years


def full_name(namespace: str, name: str) -> str:
    """Return the full name of a node; a program that only knows DDS has none."""
    if name.startswith("_"):  # _CREATED_BY_BARE_DDS_APP_, _NODE_NAME_UNKNOWN_
        return "(a program without a node)"
    return f"{namespace.rstrip('/')}/{name}"


def node_names(node: Node) -> frozenset[str]:
    """Return the full names of all nodes but this one."""
    found = {full_name(space, name) for name, space in node.get_node_names_and_namespaces()}
    return frozenset(found - {node.get_fully_qualified_name()})


def topics(node: Node) -> dict[str, Topic]:
    """Return every topic with its publishers and readers, but this node's own."""
    me = node.get_fully_qualified_name()

    def endpoints(found: list[Any]) -> tuple[Endpoint, ...]:
        every = (Endpoint(full_name(info.node_namespace, info.node_name), str(info.topic_type),
                          quality(info.qos_profile)) for info in found)
        return tuple(endpoint for endpoint in every if endpoint.node != me)

    return {name: Topic(endpoints(node.get_publishers_info_by_topic(name)),
                        endpoints(node.get_subscriptions_info_by_topic(name)))
            for name, _ in node.get_topic_names_and_types()}


def quality(profile: QoSProfile) -> Quality:
    """Translate rclpy's description of a quality."""
    def seconds(duration: Any) -> float:
        found = duration.nanoseconds / 1e9
        return found if 0.0 < found < _ENDLESS_S else math.inf

    return Quality(profile.reliability == ReliabilityPolicy.RELIABLE,
                   profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
                   seconds(profile.deadline), seconds(profile.liveliness_lease_duration),
                   profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC)
