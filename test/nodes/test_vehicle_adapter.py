"""The vehicle adapter as the vehicle sees it: what is passed on, and what stops it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from commander import command
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from ros import LATCHED, ROOT, Bench, is_zero, pairs, vector
from std_msgs.msg import Bool

from lnn_ros import messages

NUMBERS = (0.5, -0.25, 0.125, 1.0)

TALKING = '''
from lnn_ros.vehicles.base import Said, Vehicle, read_twist, write_twist

class Talking(Vehicle):
    kind = "talking"
    takes = {"vehicle/cmd_vel": "geometry_msgs/msg/Twist"}
    says = {"landed": "std_msgs/msg/Bool"}

    def tell(self, messages, command, at_ns, frame, said):
        if command[0] == 7.0:
            raise RuntimeError("seven is too much")
        write_twist(messages["vehicle/cmd_vel"], command)

    def told(self, messages, said):
        return read_twist(messages["vehicle/cmd_vel"])

    def hear(self, said, topic, message):
        return Said(airborne=not message.data)
'''
WITH_VEHICLES_OF = '''
import sys
from lnn_ros import vehicles
vehicles.__path__.append({!r})
from lnn_ros.nodes.vehicle_adapter import main
sys.exit(main())
'''


class Adapted:
    """A vehicle adapter, and the vehicle behind it."""

    def __init__(self, bench: Bench, process=None, kind: type = TwistStamped, **parameters) -> None:
        self.bench = bench
        self.arrived: list[float] = []
        self.told: list = []
        bench.node.create_subscription(kind, "vehicle/cmd_vel", self._on_told, 1000)
        self.status = bench.collect(DiagnosticStatus, "vehicle_adapter/status", LATCHED)
        self.diagnostics = bench.collect(DiagnosticArray, "/diagnostics")
        self.process = process or bench.start("vehicle_adapter", **parameters)
        bench.introduce("vehicle_adapter")

    def _on_told(self, message) -> None:
        self.arrived.append(time.monotonic())
        self.told.append(message)

    def say(self) -> dict[str, str]:
        """Return its latest status as key-values."""
        return pairs(self.status[-1]) if self.status else {}

    def until_state(self, state: str, meanwhile=None) -> None:
        """Await that it says so."""
        self.bench.until(lambda: self.say().get("state") == state, f"state {state}", meanwhile)

    def next(self, matching=lambda message: True, meanwhile=None):
        """Await the next message of a kind that the vehicle is told; return its place."""
        start = len(self.told)
        self.bench.until(lambda: any(map(matching, self.told[start:])), "such a message", meanwhile)
        return next(i for i in range(start, len(self.told)) if matching(self.told[i]))

    def rest(self, diagnostics: int = 2) -> int:
        """Let so many seconds pass by its diagnostics; return how often the vehicle was told."""
        wanted = len(self.diagnostics) + diagnostics
        self.bench.until(lambda: len(self.diagnostics) >= wanted, "diagnostics")
        return len(self.told)

    def end(self, number: signal.Signals, meanwhile=None) -> None:
        """End it by a signal; zero is the last that the vehicle is told."""
        self.process.send(number)
        self.bench.until(lambda: not self.process.alive, "its end", meanwhile)
        assert self.process.wait() == 0
        self.bench.until(lambda: is_zero(self.told[-1]), "a zero")


def moves(message) -> bool:
    return not is_zero(message)


def test_controller_that_is_stopped_or_killed_ends_in_zero(bench):
    adapted = Adapted(bench)
    adapted.until_state("waiting")
    assert adapted.rest() == 0  # it says nothing before it is told anything
    commander = bench.run("commander", str(ROOT / "test/nodes/commander.py"), *map(str, NUMBERS))
    begun = time.time_ns()
    adapted.next()
    adapted.until_state("passing")
    for message in adapted.told:
        assert vector(message) == NUMBERS
        assert message.header.frame_id == "base_link"
        assert messages.stamp_ns(message) > begun

    commander.send(signal.SIGSTOP)
    zero = adapted.next(is_zero)
    assert zero == len(adapted.told) - 1 or all(map(is_zero, adapted.told[zero:]))
    assert 0.4 < adapted.arrived[zero] - adapted.arrived[zero - 1] < 1.5
    adapted.until_state("timed out")
    adapted.bench.until(lambda: len(adapted.told) >= zero + 10, "more zeros")
    assert all(map(is_zero, adapted.told[zero:]))
    stamps = [messages.stamp_ns(message) for message in adapted.told[zero - 1:]]
    assert stamps == sorted(set(stamps))  # the controller's time goes on
    assert 0.4 < 1e-9 * (stamps[1] - stamps[0]) < 1.5

    commander.send(signal.SIGCONT)
    adapted.next(moves)
    adapted.until_state("passing")
    commander.send(signal.SIGKILL)
    zero = adapted.next(is_zero)
    assert adapted.arrived[zero] - adapted.arrived[zero - 1] < 1.5
    commander.wait()
    bench.until(lambda: adapted.say().get("stops") == "2", "both stops to be counted")
    adapted.end(signal.SIGINT)


def test_nonsense_is_dropped_and_does_not_feed_the_timeout(bench):
    adapted = Adapted(bench)
    publisher = bench.publisher(TwistStamped, "cmd_vel")

    def good():
        publisher.publish(command(NUMBERS))

    adapted.next(moves, good)
    odd = command(NUMBERS)
    odd.twist.angular.x = float("inf")
    bad = {
        "expected finite numbers": odd,
        "command is in frame 'map': expected base_link": command(NUMBERS, frame="map"),
        "stamp is 0 s 0 ns": command(NUMBERS, stamp_ns=0),
        "12 bytes are no TwistStamped": bytes(12),
    }
    for sentence, nonsense in bad.items():
        publisher.publish(nonsense)
        bench.until(lambda words=sentence: words in adapted.process.log, sentence)
    kinds = ("not_finite", "frame", "stamp", "undecodable")
    bench.until(lambda: all(adapted.say().get(f"cmd_vel.{kind}") == "1" for kind in kinds),
                "all to be counted")
    assert adapted.process.log.count("said once") == len(kinds)
    assert adapted.process.alive
    bench.until(lambda: any(map(is_zero, adapted.told)), "zero")
    assert set(map(vector, adapted.told)) == {NUMBERS, (0.0, 0.0, 0.0, 0.0)}

    adapted.next(moves, good)
    zero = adapted.next(is_zero, lambda: publisher.publish(
        command((float("nan"), 0.0, 0.0, 0.0))))
    assert 0.4 < adapted.arrived[zero] - adapted.arrived[zero - 1] < 1.5

    # By parameter it says zero once, and is silent then, whatever nonsense comes.
    refused = bench.set_parameters("vehicle_adapter", on_timeout="hover")
    assert refused.reason == "parameter on_timeout is 'hover': expected one of zero, silence"
    assert not bench.set_parameters("vehicle_adapter", vehicle="twist").successful
    assert bench.set_parameters("vehicle_adapter", on_timeout="silence", timeout_s=0.3).successful
    adapted.next(moves, good)
    zero = adapted.next(is_zero)
    assert 0.2 < adapted.arrived[zero] - adapted.arrived[zero - 1] < 1.5
    assert adapted.rest() == zero + 1
    adapted.next(moves, good)
    adapted.end(signal.SIGTERM, good)


def test_nobody_is_obeyed_while_two_command(bench):
    adapted = Adapted(bench)
    ours = bench.publisher(TwistStamped, "cmd_vel")

    def both():
        ours.publish(command(NUMBERS))
        if other is not None:
            other.publish(command((-1.0, 0.0, 0.0, 0.0)))

    other = None
    adapted.next(moves, both)
    other = bench.publisher(TwistStamped, "cmd_vel")
    adapted.until_state("contested", both)
    assert "commands are offered by /bench and /bench: expected one" in adapted.process.log
    start = len(adapted.told)
    bench.until(lambda: len(adapted.told) >= start + 10, "zeros", both)
    assert all(map(is_zero, adapted.told[start:]))
    assert set(map(vector, filter(moves, adapted.told))) == {NUMBERS}

    assert bench.set_parameters("vehicle_adapter", exclusive=False).successful
    adapted.next(lambda message: vector(message)[0] == -1.0, both)
    assert bench.set_parameters("vehicle_adapter", exclusive=True).successful
    adapted.until_state("contested", both)
    bench.node.destroy_publisher(other)
    other = None
    adapted.next(moves, both)
    adapted.until_state("passing", both)

    # What waited while the adapter itself stood still is of the past: zero comes first.
    adapted.process.send(signal.SIGSTOP)
    began = time.monotonic()
    bench.until(lambda: time.monotonic() - began > 1.0, "a second", both)
    ours.publish(command((0.75, 0.0, 0.0, 0.0)))
    adapted.process.send(signal.SIGCONT)
    before = len(adapted.told)
    zero = adapted.next(is_zero)
    assert zero - before <= 1  # it may have been stopped in the middle of passing one on
    adapted.next(moves, both)
    assert 0.75 not in [vector(message)[0] for message in adapted.told]
    assert "this process stood still for 1." in adapted.process.log
    adapted.end(signal.SIGTERM, both)


def test_vehicle_that_speaks_is_one_file(bench, tmp_path: Path):
    (tmp_path / "talking.py").write_text(TALKING)
    process = bench.run("vehicle_adapter", "-c", WITH_VEHICLES_OF.format(str(tmp_path)),
                        vehicle="submarine", timeout_s=10.0)
    adapted = Adapted(bench, process, Twist)
    states = bench.collect(DiagnosticStatus, "vehicle_state")
    sentence = "parameter vehicle is 'submarine': expected one of ardupilot, "
    bench.until(lambda: adapted.status and sentence in adapted.status[-1].message, sentence)
    assert adapted.status[-1].level == DiagnosticStatus.ERROR
    assert bench.set_parameters("vehicle_adapter", vehicle="talking").successful
    publisher = bench.publisher(TwistStamped, "cmd_vel")
    landed = bench.publisher(Bool, "landed")

    def moving():
        return [command.linear.x for command in adapted.told if command.linear.x]

    bench.until(moving, "a command", lambda: publisher.publish(command(NUMBERS)))
    assert set(moving()) == {0.5}
    bench.until(lambda: states, "the vehicle's state")
    assert pairs(states[-1]) == {"airborne": "", "velocity_mode": ""}
    bench.until(lambda: pairs(states[-1])["airborne"] == "true", "airborne",
                lambda: landed.publish(Bool(data=False)))

    # An error in a callback: zero at once, not after the timeout, and it lives on.
    said = len(adapted.told)
    publisher.publish(command((7.0, 0.0, 0.0, 0.0)))
    bench.until(lambda: "seven is too much" in process.log, "the error")
    bench.until(lambda: Twist() in adapted.told[said:], "a zero")  # after what was on its way
    assert "timed out" not in process.log
    bench.until(lambda: adapted.say().get("errors") == "1", "the error's count")
    # The vehicle has said nothing for some seconds.
    bench.until(lambda: pairs(states[-1])["airborne"] == "", "nothing known")
    said = len(moving())
    bench.until(lambda: len(moving()) > said, "a command",
                lambda: publisher.publish(command(NUMBERS)))
    process.send(signal.SIGTERM)  # not SIGHUP: these tests may run under nohup
    assert process.wait() == 0
    bench.until(lambda: adapted.told[-1] == Twist(), "the last zero")


def test_adapter_that_was_told_nothing_says_nothing_at_its_end(bench):
    adapted = Adapted(bench)
    adapted.process.send(signal.SIGINT)
    assert adapted.process.wait() == 0
    bench.until(lambda: not bench.node.count_publishers("vehicle/cmd_vel"), "its end to be seen")
    assert adapted.told == []
    assert "Traceback" not in adapted.process.log


LATCHING = '''
from dataclasses import dataclass, replace
from math import inf

from lnn_ros.vehicles.base import Said, Vehicle, read_twist, write_twist

@dataclass(frozen=True)
class Moored(Said):
    free: bool | None = None

class Boat(Vehicle):
    kind = "boat"
    takes = {"alive": "std_msgs/msg/Bool", "vehicle/cmd_vel": "geometry_msgs/msg/Twist"}
    says = {"moored": "std_msgs/msg/Bool", "sails": "std_msgs/msg/Bool"}
    lasts = {"moored": inf, "sails": 0.5}
    latched = ("moored",)
    unheard = Moored()

    def tell(self, messages, command, at_ns, frame, said):
        messages["alive"].data = True
        write_twist(messages["vehicle/cmd_vel"], command)

    def told(self, messages, said):
        return read_twist(messages["vehicle/cmd_vel"])

    def told_on(self, said):
        return tuple(self.takes) if said.free else ("alive",)

    def hear(self, said, topic, message):
        if topic == "moored":
            return replace(said, free=not message.data)
        return replace(said, airborne=message.data)

    def forget(self, said, topic):
        assert topic == "sails"
        return replace(said, airborne=None)

    def name(self, topic, message_type):
        return topic + "_v7" if topic == "moored" else topic
'''


def test_vehicle_that_latches_and_withholds_is_one_file(bench, tmp_path: Path):
    (tmp_path / "boat.py").write_text(LATCHING)
    moored = bench.node.create_publisher(Bool, "moored_v7", LATCHED)
    moored.publish(Bool(data=False))  # before anybody is there, and never again
    process = bench.run("vehicle_adapter", "-c", WITH_VEHICLES_OF.format(str(tmp_path)),
                        vehicle="boat")
    alive = bench.collect(Bool, "alive")
    adapted = Adapted(bench, process, Twist)
    states = bench.collect(DiagnosticStatus, "vehicle_state")
    publisher = bench.publisher(TwistStamped, "cmd_vel")
    sails = bench.publisher(Bool, "sails")

    def drive():
        publisher.publish(command(NUMBERS))

    bench.until(lambda: adapted.told, "a command", drive)
    assert adapted.told[0].linear.x == 0.5
    bench.until(lambda: adapted.say().get("withheld") == "", "nothing withheld", drive)

    # What it says counts for as long as it lasts, by topic: that it is free, for ever.
    bench.until(lambda: states and pairs(states[-1])["airborne"] == "true", "airborne",
                lambda: sails.publish(Bool(data=True)))
    bench.until(lambda: pairs(states[-1])["airborne"] == "", "nothing known", drive)
    adapted.rest()
    assert adapted.say()["withheld"] == ""

    # Moored it hears that somebody is alive, and nothing else.
    moored.publish(Bool(data=True))
    bench.until(lambda: adapted.say().get("withheld") == "vehicle/cmd_vel", "withheld")
    adapted.rest(1)
    told, lived = len(adapted.told), len(alive)
    bench.until(lambda: len(alive) > lived + 3, "signs of life", drive)
    adapted.rest(1)
    assert len(adapted.told) == told


def test_respawned_controller_does_not_wait_until_the_dead_one_is_forgotten(bench):
    adapted = Adapted(bench)

    def run(*numbers: float):
        return bench.run("commander", str(ROOT / "test/nodes/commander.py"), *map(str, numbers))

    first = run(*NUMBERS)
    # It flies for a while: one that dies before it has said anything is no respawned controller.
    bench.until(lambda: len(adapted.told) > 30, "commands")
    second = run(-1.0, 0.0, 0.0, 0.0)
    adapted.until_state("contested")
    zero = len(adapted.told)
    first.send(signal.SIGKILL)
    died = time.monotonic()
    place = adapted.next(moves)
    # By the lease of its participant it is there for 4 to 5 s; its own promise was for 0.3 s.
    assert adapted.arrived[place] - died < 3.0
    assert vector(adapted.told[place])[0] == -1.0
    assert all(map(is_zero, adapted.told[zero:place]))

    # A third is a rival at once, and a stopped one when it goes on.
    second.send(signal.SIGSTOP)
    adapted.until_state("timed out")
    run(0.125, 0.0, 0.0, 0.0)
    place = adapted.next(moves)
    assert vector(adapted.told[place])[0] == 0.125
    second.send(signal.SIGCONT)
    adapted.until_state("contested")
