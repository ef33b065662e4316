"""The controller: camera and IMU in, velocity commands out, by a liquid policy and its guard."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.guard.modes import Event, Mode, Refusal
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.beat import Beat
from lnn_ros.nodes.clocks import Source
from lnn_ros.nodes.control_loop import ControlLoop
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints
from lnn_ros.nodes.lifecycle import ManagedNode
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.nodes.voice import StatusSpeaker
from lnn_ros.nodes.watchdog import Watchdog

_WATCH_S = 0.1
_SOONEST_S = 0.01  # after an image that was answered; one that comes sooner waits for the timer
_STALL_S = 0.4  # sooner than the vehicle adapter's timeout: here it is known why
_STALL_PERIODS = 5.0
_GIVE_WAY_S = 5e-4  # of the thread that builds another policy, ten times a command, to the loop


class Controller(ManagedNode[ControllerSettings]):
    """Fly by a policy, through the guard.

    Every way out of the active state, and every exception, ends in a zero command that is last on
    the wire.
    """

    def __init__(self) -> None:
        self._loop: ControlLoop | None = None
        self._watchdog: Watchdog | None = None
        self._beats: list[Beat] = []
        self._ticker: Beat | Timer | None = None  # of the commands that no image asks for
        self._about = "not yet active"
        self._mode = Mode.DISENGAGED
        self._entities: list[Callable[[], object]] = []
        self._answered_at = 0.0
        self._settings = ControllerSettings()
        super().__init__("controller", ControllerSettings)
        self._complaints = Complaints(self.get_logger())
        self._speaker = StatusSpeaker(self)
        self.add_on_set_parameters_callback(self._on_set)

    # Life cycle

    def configure(self, settings: ControllerSettings) -> None:
        """Load the policy, then open topics and services."""
        self._settings = settings
        wake = self._on_frame if settings.command_on_frame and not settings.lockstep else None
        self._loop = ControlLoop(self, self.parameters, self._source(), self._complaints, wake)
        self._entities.append(self._loop.close)
        self._mode = self._loop.guard.mode
        for name, action in (("engage", self._engage), ("disengage", self._disengage),
                             ("release", self._release), ("reset", self._reset),
                             ("swap", self._swap), ("rollback", self._rollback)):
            service = self.create_service(Trigger, f"~/{name}", self._answering(action))
            self._entities.append(partial(self.destroy_service, service))
        if settings.lockstep:
            # After the sensors: who sees this subscription has been told of theirs already.
            clock = self.create_subscription(Clock, "/clock", self._on_clock, qos.RELIABLE)
            self._entities.append(partial(self.destroy_subscription, clock))

    def activate(self) -> None:
        """Begin to command."""
        loop, source = self._made(), self._source()
        loop.engage_by_itself()
        if source is not Source.LOCKSTEP:
            loop.streams.discard()  # what has been waiting since configure is of no use
            self._beats.append(Beat(_WATCH_S, self._on_watch))
            if source is Source.SYSTEM:
                self._ticker = Beat(loop.period, self._on_timer)
                self._beats.append(self._ticker)
            else:
                self._ticker = self.create_timer(loop.period, self._on_timer)  # simulated time
            patience = max(_STALL_S, _STALL_PERIODS * loop.period)
            self._watchdog = Watchdog(patience, loop.zero_from_another_thread)
        self._beats.append(Beat(1.0, loop.diagnose))

    def deactivate(self) -> None:
        """Say zero, and see it acknowledged."""
        loop, watchdog = self._loop, self._watchdog
        try:
            if watchdog is not None:
                watchdog.end()
            if loop is not None:
                loop.handle(Event.SHUTDOWN, "deactivated")
                loop.zero()  # before what follows, which could fail as well
                loop.heard()
        finally:
            if isinstance(self._ticker, Timer):
                self.destroy_timer(self._ticker)
            self._beats.clear()
            self._ticker = self._watchdog = None
            self._follow()

    def work(self) -> float:
        """Do what is due; return for how long nothing is."""
        return min((beat.work() for beat in tuple(self._beats)), default=super().work())

    def cleanup(self) -> None:
        """Close everything that configure opened."""
        while self._entities:
            self._entities.pop()()
        self._loop = None

    def changed(self, problem: str) -> None:
        """Say where the node stands."""
        self._about = problem or (
            "" if self.active else "configured" if self.configured else "not yet configured")
        self._say_status(now=True)

    def fail(self, error: Exception) -> None:
        """Go to fault: zeros until a person resets."""
        loop = self._loop
        if not self.active or loop is None:
            return
        reason = str(error) if isinstance(error, LnnError) else f"{type(error).__name__}: {error}"
        try:
            if loop.handle(Event.FAIL, reason):
                loop.zero()  # first of all: what follows could fail as well
        finally:
            self._follow()

    # Services

    def _engage(self) -> str:
        if not self.active:
            raise Refusal("engage refused: the controller is not active")
        self._made().engage()
        return "engaged"

    def _disengage(self) -> str:
        self._made().handle(Event.DISENGAGE, "disengaged by service")
        if self.active:
            self._made().zero()
        return "disengaged"

    def _release(self) -> str:
        self._made().handle(Event.RELEASE, "released by service")
        return "released; call ~/engage to let the policy fly on"

    def _reset(self) -> str:
        loop = self._made()
        loop.handle(Event.RESET, "reset by service")
        if self.active:
            loop.zero()
        loop.reset()
        return "reset; call ~/engage to fly"

    def _swap(self) -> str:
        if not self.active:
            raise Refusal("swap refused: the controller is not active; it loads the policy that "
                          "the parameter policy names when it is configured")
        return self._made().swap()

    def _rollback(self) -> str:
        return self._made().rollback()

    def _answering(self, action: Callable[[], str]) -> Callable[..., Trigger.Response]:
        """Make a service callback: a refusal is an answer, anything else is a fault as well."""
        def callback(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = action()
                response.success = True
            except Refusal as error:
                response.message = str(error)
                self.get_logger().warning(response.message)
            except Exception as error:
                response.message = str(error)
                self.get_logger().error(response.message)
                self.fail(error)
            self._follow()
            return response
        return callback

    # When to command

    def _on_timer(self) -> None:
        loop = self._made()
        self._show_life()
        arrivals = loop.streams.take()
        now = loop.clocks.look()
        if now > 0:  # else there has been no /clock yet, and a zero stamp is no time
            loop.tick(now, arrivals)
            if loop.guard.mode is not self._mode or loop.has_news:
                self._follow()  # troubles are looked after by ``_on_watch``

    def _on_frame(self) -> None:
        """Answer an image at once, unless one has just been answered or no time has passed."""
        if not self.active or self._ticker is None:
            return
        # Not judged by the last command: the timer's may come just before every image.
        soon = time.monotonic() - self._answered_at < _SOONEST_S
        loop = self._made()
        if not soon and loop.clocks.look() > loop.at_ns:
            self._answered_at = time.monotonic()
            self._on_timer()
            if isinstance(self._ticker, Beat):
                self._ticker.postpone()
            else:
                self._ticker.reset()

    def _on_clock(self, message: Clock) -> None:
        now, loop = messages.time_ns(message.clock), self._made()
        if not self.active or now <= 0:
            return
        if now == loop.at_ns:  # the simulator asks again: what it missed, not something new
            loop.repeat()
            return
        loop.clocks.tell(now)
        loop.tick(now, loop.streams.take())
        self._follow()

    def _on_watch(self) -> None:
        """Look after what commands by simulated time would not notice: that it stands still."""
        self._show_life()
        self._made().look_at_time()
        self._follow()

    def _show_life(self) -> None:
        """Feed the watchdog, and answer it if it had to bark."""
        stood_still = self._watchdog.feed() if self._watchdog is not None else 0.0
        if stood_still or self._made().hushed:  # it may have barked just now, after being fed
            self._made().stalled(stood_still)

    # Seen from outside

    def _follow(self) -> None:
        """Say what has become of the mode."""
        guard = self._loop.guard if self._loop is not None else None
        if guard is not None and guard.mode is not self._mode:
            self._mode = guard.mode
            sentence = f"{guard.mode.value}: {guard.reason}"
            # One place for each severity: rclpy refuses a call whose severity changes.
            if guard.mode is Mode.FAULT:
                self.get_logger().error(sentence)
            elif guard.mode is Mode.HOLD:
                self.get_logger().warning(sentence)
            else:
                self.get_logger().info(sentence)
        news = [] if self._loop is None else self._loop.news()
        for sentence in news:
            self.get_logger().info(sentence)
        self._say_status(now=bool(news))

    def _say_status(self, now: bool = False) -> None:
        loop = self._loop
        mode = Mode.DISENGAGED if loop is None else loop.guard.mode
        reason = self._about or ("" if loop is None else loop.guard.reason)
        troubles = loop.troubles() if loop is not None and self.active else []
        level = OK
        if mode is Mode.FAULT or "failed:" in reason:
            level = ERROR
        elif mode is Mode.HOLD or (mode is Mode.ENGAGED and troubles):
            level = WARN
        about = {"active": str(self.active).lower(),
                 "policy": "none" if loop is None else loop.digest,
                 "policy_file": self._settings.policy if loop is None else str(loop.policy_file),
                 # Also while other parameters are impossible, and of a wrong type.
                 "policy_parameter": self.get_parameter("policy").value,
                 "swap": "" if loop is None else loop.succession}
        self._speaker.say(mode, reason, troubles, level, about, now)

    # Parts

    def _made(self) -> ControlLoop:
        """Return what configure has made."""
        assert self._loop is not None
        return self._loop

    def _source(self) -> Source:
        """Where time comes from."""
        if self._settings.lockstep:
            return Source.LOCKSTEP
        return Source.SIMULATED if self.get_parameter("use_sim_time").value else Source.SYSTEM

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse another clock in mid-flight."""
        for change in changes:
            now = self.get_parameter("use_sim_time").value
            if change.name == "use_sim_time" and change.value != now and self.configured:
                return SetParametersResult(successful=False, reason=f"parameter use_sim_time stays "
                                           f"{now}: it can be set only before configure")
        return SetParametersResult(successful=True)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.keep_memory()
    environment.use_dds_profile("robot.xml")
    sys.setswitchinterval(_GIVE_WAY_S)
    return process.run(Controller, args)


if __name__ == "__main__":
    raise SystemExit(main())
