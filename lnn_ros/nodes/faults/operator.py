"""Whoever engages, resets and sets parameters: the services of the nodes, called from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from lnn_ros.nodes.parameter_rows import Value

_TURN_S = 0.01


class Operator:
    """Call services, without missing what happens meanwhile.

    Parameters
    ----------
    node : Node
        Whose clients they are.
    meanwhile : callable
        Called about a hundred times a second while waiting.
    """

    def __init__(self, node: Node, meanwhile: Callable[[], None]) -> None:
        self._node, self._meanwhile = node, meanwhile
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._clients: dict[str, Client] = {}

    def close(self) -> None:
        """Call nobody any more."""
        self._executor.shutdown()

    def turn(self) -> None:
        """Serve what has come, for a moment."""
        self._executor.spin_once(timeout_sec=_TURN_S)
        self._meanwhile()

    def trigger(self, service: str, patience_s: float = 3.0) -> tuple[bool, str]:
        """Call a Trigger; return whether it was granted, and what was said (empty: nothing)."""
        answer = self._call(Trigger, service, Trigger.Request(), patience_s)
        return (False, "") if answer is None else (answer.success, answer.message)

    def set(self, node: str, values: Mapping[str, Value | bytes],
            patience_s: float = 3.0) -> tuple[bool, str]:
        """Set parameters, all or none; return whether they were taken, and what was said."""
        typed: Mapping[str, Any] = values  # rclpy's types know no mixture
        request = SetParametersAtomically.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in typed.items()])
        answer = self._call(SetParametersAtomically, f"{node}/set_parameters_atomically", request,
                            patience_s)
        return (False, "") if answer is None else (answer.result.successful, answer.result.reason)

    def deactivate(self, node: str) -> bool:
        """Ask a lifecycle node to deactivate."""
        return self._change(node, Transition.TRANSITION_DEACTIVATE)

    def activate(self, node: str) -> bool:
        """Ask a lifecycle node to activate."""
        return self._change(node, Transition.TRANSITION_ACTIVATE)

    def _change(self, node: str, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = self._call(ChangeState, f"{node}/change_state", request, 3.0)
        return answer is not None and bool(answer.success)

    def _call(self, kind: type[Any], service: str, request: Any, patience_s: float) -> Any:
        """Return the response; None when none comes in time."""
        end = time.monotonic() + patience_s
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self._node.create_client(kind, service)
        while not client.service_is_ready():
            if time.monotonic() > end:
                return None
            self.turn()
        future = client.call_async(request)
        while not future.done():
            if time.monotonic() > end:
                client.remove_pending_request(future)
                return None
            self.turn()
        return future.result()
