"""The base of the lifecycle nodes: settings, autostart, and transitions that end in a known state.

rclpy swallows what a transition callback raises. Here it is logged, what was begun is undone, and
the node is then where it was before: a failed configure leaves it unconfigured, a failed activate
inactive. A failed deactivate or cleanup ends unconfigured.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock

from lnn_ros.errors import LnnError
from lnn_ros.nodes.draining import DrainedGroup
from lnn_ros.nodes.parameters import Parameters

S = TypeVar("S")


class ManagedNode(LifecycleNode, Generic[S]):
    """A lifecycle node that :func:`lnn_ros.nodes.process.run` can run.

    Subclasses override :meth:`configure`, :meth:`activate`, :meth:`deactivate`, :meth:`cleanup` and
    :meth:`changed`.

    Parameters
    ----------
    name : str
        Node name, unless remapped.
    settings : type
        Dataclass of ``settings.py``, with a field ``autostart``.

    Attributes
    ----------
    parameters : Parameters
        Its parameters.
    configured, active : bool
        Where it stands in its life cycle.
    """

    def __init__(self, name: str, settings: type[S]) -> None:
        self.configured = False
        self.active = False
        super().__init__(name)
        self.parameters = Parameters(self, settings, lambda: self.configured)
        self._answer_impossible_transitions()

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Those that an executor serves: of drained ones it need not know."""
        return (s for s in super().subscriptions if not isinstance(s.callback_group, DrainedGroup))

    def configure(self, settings: S) -> None:
        """Make everything that activation needs; whatever it raises, cleanup follows."""

    def activate(self) -> None:
        """Begin to act; whatever it raises, deactivate follows."""

    def deactivate(self) -> None:
        """Say the last word and stop acting; must not depend on how far activate came."""

    def cleanup(self) -> None:
        """Let go of what configure made; must not depend on how far it came."""

    def changed(self, problem: str) -> None:
        """Take note of the end of a transition; ``problem`` is empty or says why it failed."""

    def start(self) -> None:
        """Configure and activate, if ``autostart`` says so."""
        self.changed("")
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def work(self) -> float:
        """Nothing is due outside of callbacks."""
        return 1.0

    def fail(self, error: Exception) -> None:
        """Live on: nothing here can become unsafe."""

    def stop(self) -> None:
        """Deactivate and clean up, whatever the state."""
        self._leave()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure with the present parameters."""
        self._ignore_impossible_times()
        problem = self._attempt("configure", lambda: self.configure(self.parameters.settings()))
        if problem:
            self._attempt("cleanup", self.cleanup)
        return self._arrive(not problem, False, problem)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate."""
        problem = self._attempt("activate", self.activate)
        if problem:
            self._attempt("deactivate", self.deactivate)
        return self._arrive(True, not problem, problem)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate."""
        problem = self._attempt("deactivate", self.deactivate)
        return self._arrive(True, False, problem, TransitionCallbackReturn.ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clean up."""
        problem = self._attempt("cleanup", self.cleanup)
        return self._arrive(False, False, problem, TransitionCallbackReturn.ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up, as far as there is something to do."""
        return self._arrive(False, False, self._leave())

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything and be unconfigured."""
        self._attempt("cleanup", self.cleanup)
        self.configured = self.active = False
        return TransitionCallbackReturn.SUCCESS

    def _leave(self) -> str:
        """Leave the active, then the configured state; return what went wrong."""
        problem = ""
        if self.active:
            problem += self._attempt("deactivate", self.deactivate)
        if self.configured:
            problem += self._attempt("cleanup", self.cleanup)
        self.configured = self.active = False
        return problem

    def _attempt(self, name: str, action: Callable[[], None]) -> str:
        """Do a part of a transition; return the sentence of what went wrong, or nothing."""
        try:
            action()
        except LnnError as error:
            self.get_logger().error(f"{name} failed: {error}")
            return f"{name} failed: {error}"
        except Exception as error:
            self.get_logger().error(f"{name} failed:\n{traceback.format_exc().rstrip()}")
            return f"{name} failed: {type(error).__name__}: {error}"
        return ""

    def _arrive(self, configured: bool, active: bool, problem: str,
                otherwise: TransitionCallbackReturn = TransitionCallbackReturn.FAILURE,
                ) -> TransitionCallbackReturn:
        self.configured, self.active = configured, active
        self._attempt("status", lambda: self.changed(problem))
        return otherwise if problem else TransitionCallbackReturn.SUCCESS

    def _ignore_impossible_times(self) -> None:
        """Let rclpy not see a /clock before zero: it raises in a callback of its own then."""
        for subscription in self.subscriptions:
            if subscription.msg_type is Clock:
                original: Any = subscription.callback

                def follow(message: Clock, original: Any = original) -> None:
                    if message.clock.sec >= 0:
                        original(message)

                subscription.callback = follow

    def _answer_impossible_transitions(self) -> None:
        """Refuse a transition that the state does not have, instead of raising in the executor.

        rclpy raises then, so that the caller never gets an answer.
        """
        for service in self.services:
            if service.srv_type is ChangeState:
                original: Any = service.callback

                def answer(request: ChangeState.Request, response: ChangeState.Response,
                           original: Any = original) -> ChangeState.Response:
                    try:
                        return original(request, response)
                    except RuntimeError as error:
                        wanted = request.transition.label or request.transition.id
                        self.get_logger().warning(f"transition {wanted} refused: {error}")
                        response.success = False
                        return response

                service.callback = answer
