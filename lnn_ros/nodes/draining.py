"""Subscriptions that are emptied when the node wants them, not when a message happens to arrive.

An executor wakes up for every message and rebuilds its wait set, which at 200 Hz costs several
times what the message itself does. The control loop only needs everything that has arrived *by its
tick*: it takes that directly from the reader's queue, so that the command rests on the newest
sample and not on what the executor came round to serving.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
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
    wake : callable, optional
        Called by the executor when a message has come, which then is among those to be taken. The
        subscription is served like any other, then: for a topic that is worth waking up for.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str, qos: QoSProfile,
                 group: DrainedGroup, wake: Callable[[], None] | None = None) -> None:
        self.kind = kind
        self._node, self._depth, self._wake = node, qos.depth, wake
        self._woken: deque[tuple[bytes, int]] = deque(maxlen=qos.depth)
        # Raw: a payload that is no message of this type is taken like any other and can be counted,
        # whereas rclpy's own take makes it look as if the queue were empty.
        # No event callbacks: with one, unread data keep waking the executor up.
        self.subscription = node.create_subscription(
            kind, topic, self._on_message, qos, callback_group=None if wake else group, raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    @property
    def topic(self) -> str:
        """Resolved topic name."""
        return str(self.subscription.topic_name)

    def take(self) -> Iterator[tuple[bytes, int]]:
        """Yield serialized messages and their system times of arrival (ns), in order of arrival.

        At most as many as the queue holds, so that a flood cannot keep the caller here.
        """
        while self._woken:
            yield self._woken.popleft()
        for payload, information in self.informed():
            yield payload, int(information["received_timestamp"])

    def informed(self) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
        """Yield what waits in the reader's queue, with what the middleware knows of each message.

        As :meth:`take`, for a subscription that wakes nobody up.
        """
        handle: Any = self.subscription.handle  # rclpy says that there is always a message
        with handle:
            for _ in range(self._depth):
                taken = handle.take_message(self.kind, True)
                if taken is None:
                    return
                yield taken

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self.subscription)

    def _on_message(self, payload: bytes) -> None:
        """Keep what the executor has taken, which it does if it is to wake up.

        And if it knows nothing of callback groups, and serves what it has no need to.
        """
        # Humble's rclpy does not tell a callback when the message arrived: just now.
        self._woken.append((payload, time.time_ns()))
        if self._wake is not None:
            self._wake()
