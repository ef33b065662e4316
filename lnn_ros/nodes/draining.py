"""Subscriptions that are emptied when the node wants them, not when a message happens to arrive.

An executor wakes up for every message and rebuilds its wait set, which at 200 Hz costs several
times what the message itself does. The control loop only needs everything that has arrived *by its
tick*: it takes that directly from the reader's queue, so that the command rests on the newest
sample and not on what the executor came round to serving.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile


class DrainedGroup(CallbackGroup):
    """The callback group of drained subscriptions: the executor never waits for anything in it."""

    def can_execute(self, entity: object) -> bool:
        """Refuse."""
        return False

    def beginning_execution(self, entity: object) -> bool:
        """Refuse."""
        return False

    def ending_execution(self, entity: object) -> None:
        """Nothing to give back."""


class Drain:
    """One subscription, drained.

    Parameters
    ----------
    node : Node
        Whose subscription it is.
    kind : type
        Message type.
    topic : str
        Topic name.
    qos : QoSProfile
        Its depth must hold what arrives between two calls of :meth:`take`.
    group : DrainedGroup
        Where it belongs.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str, qos: QoSProfile,
                 group: DrainedGroup) -> None:
        self.kind = kind
        self._node, self._depth = node, qos.depth
        # Raw: a payload that is no message of this type is taken like any other and can be counted,
        # whereas rclpy's own take makes it look as if the queue were empty.
        # No event callbacks: with one, unread data keep waking the executor up.
        self.subscription = node.create_subscription(
            kind, topic, _unused, qos, callback_group=group, raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    @property
    def topic(self) -> str:
        """Resolved topic name."""
        return str(self.subscription.topic_name)

    def take(self) -> Iterator[tuple[bytes, int]]:
        """Yield serialized messages and their system times of arrival (ns), in order of arrival.

        At most as many as the queue holds, so that a flood cannot keep the caller here.
        """
        handle = self.subscription.handle
        with handle:
            for _ in range(self._depth):
                taken = handle.take_message(self.kind, True)
                if taken is None:
                    return
                payload, information = taken
                yield payload, int(information["received_timestamp"])

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self.subscription)


def _unused(_message: object) -> None:
    """Stand in for the callback that a subscription must have; never called."""
