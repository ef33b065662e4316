"""Who offers messages on a topic, and how many of them live.

The middleware forgets a process that was killed only when its lease has run out, seconds later. A
publisher that promises a sign of life of its own (``qos.command``: liveliness, manual by topic) is
known to be dead sooner: a subscription asks for that promise, and is told when it is broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSProfile, ReliabilityPolicy

# No sooner: a publisher that promises more seldom than this is not heard by the subscription, and
# lives as long as the middleware knows it. Twice what the controller promises at 20 Hz.
_LIFE = Duration(seconds=1.0)


class Offers:
    """The publishers of a topic.

    Parameters
    ----------
    node : Node
        That reads the topic.
    kind : type
        Type of its messages.
    topic : str
        Its name.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str) -> None:
        self._node, self._dead = node, 0
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                             liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
                             liveliness_lease_duration=_LIFE)
        # Raw and for nothing: what counts are its events. Without rclpy's own, which would warn of
        # every publisher that promises nothing.
        subscription = node.create_subscription(
            kind, topic, _ignore, quality, raw=True,
            event_callbacks=SubscriptionEventCallbacks(liveliness=self._on_life,
                                                       use_default_callbacks=False))
        self._topic: str = subscription.topic_name

    def living(self) -> int:
        """Return how many publishers there are that are not known to be dead.

        One that has not said anything yet lives, even if it never will.
        """
        return max(0, int(self._node.count_publishers(self._topic)) - self._dead)

    def names(self) -> Sequence[str]:
        """Return the nodes that offer, living or not."""
        offers = self._node.get_publishers_info_by_topic(self._topic)
        # Rather new ones are known by their publishers before their nodes are.
        return sorted("a node of unknown name" if "UNKNOWN" in offer.node_name else
                      f"{offer.node_namespace.rstrip('/')}/{offer.node_name}" for offer in offers)

    def _on_life(self, change: Any) -> None:
        self._dead = int(change.not_alive_count)


def _ignore(_payload: bytes) -> None:
    pass
