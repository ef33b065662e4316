"""The companion learns on board: in another process, bounded, and only what is better flies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from commander import command
from diagnostic_msgs.msg import DiagnosticStatus
from flight import Flight
from flights_for_tests import arrays, write
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from random_policy import random_policy
from ros import LATCHED, pairs
from std_srvs.srv import SetBool

from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.store import Store
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.policies import LIVE, TRIAL

CAMERA = VirtualCamera(64, 48, np.pi / 2)
NOBODY = '""'  # an empty text, as the command line takes it


def recorded(bag: Path, seed: int, label=None) -> None:
    """Write a flight in which somebody says what to do: at random, or always the same."""
    data = arrays(seed, 1.0)
    rng = np.random.default_rng(seed)
    data["frames"] = rng.integers(0, 256, (len(data["frames"]), 48, 64, 3), dtype=np.uint8)
    data["imu"][:, :3] = 0.0  # pictures at random do not turn
    if label is not None:
        data["labels"][:] = label
    write(bag, data, camera=CAMERA)


class Learning:
    """A companion with recordings, old flights and a policy, that learns when it is asked to."""

    def __init__(self, bench, folder: Path, episodes: int = 12, **parameters: object) -> None:
        self.bench, self.folder = bench, folder
        self.recordings, self.rehearsal = folder / "recordings", folder / "old"
        self.link = folder / "store" / LIVE  # what flies after a start
        for k in range(episodes):
            recorded(self.recordings / f"2026-01-01_{k:02}", k, (0.4, 0.0, 0.0, 0.2))
        for k in range(6):
            recorded(self.rehearsal / f"{k:02}", 100 + k)
        self.policy = random_policy(folder / "policy.safetensors")
        self.store = Store(folder / "store")
        self.progress = bench.collect(DiagnosticStatus, "companion/progress", LATCHED)
        self.parameters = {
            "folder": self.recordings, "finetune__rehearsal": self.rehearsal,
            "finetune__store": folder / "store", "finetune__policy": self.policy,
            "finetune__worlds": 0, "finetune__cpu": 1.0,
            # Tests keep the computer busy: who waits for the others would wait long.
            "finetune__idle": False, **parameters}
        self.start()

    def start(self, **parameters: object) -> None:
        """Start the companion."""
        self.progress.clear()
        self.process = self.bench.start("companion", **self.parameters, **parameters)
        if parameters.get("autostart") is False:
            assert self.bench.transition("companion", Transition.TRANSITION_CONFIGURE)
        self.bench.until(lambda: self.progress, "a companion that could learn")

    def stages(self) -> list[str]:
        """Return what it was at, step by step, without repeating."""
        said = [pairs(message)["stage"] for message in self.progress]
        return [stage for k, stage in enumerate(said) if said[k - 1 : k] != [stage]]

    def ask(self, on: bool = True):
        return self.bench.set_bool("companion/finetune", on)

    def until(self, stage: str, meanwhile=None):
        """Await a stage; return what was said with it."""
        self.bench.until(lambda: stage in self.stages(), f"stage {stage}", meanwhile)
        return next(m for m in reversed(self.progress) if pairs(m)["stage"] == stage)


def children(pid: int) -> list[int]:
    """Processes that a process has started and that are still there."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_learns_when_asked_and_stores_what_it_makes_with_the_reason(bench, tmp_path):
    learning = Learning(bench, tmp_path, finetune__controller=NOBODY)
    assert learning.ask().success
    again = learning.ask()
    assert not again.success and "is under way" in again.message
    done = learning.until("done")
    assert pairs(done)["accepted"] == "true", done.message
    assert done.message.startswith("accepted: ") and "loss on help from" in done.message
    assert [s for s in learning.stages() if s != "idle"] == [
        "begun", "reading", "learning", "looking", "learning", "reading", "judging", "done"]
    parent, candidate = learning.store.digests()
    assert learning.store.lineage(candidate)[1] == parent
    assert load(learning.store.path(candidate)).weights_digest() == pairs(done)["digest"]
    # Nobody tries it, so nothing else flies until a person says so.
    assert learning.store.live == parent and learning.store.waiting() == candidate
    learning.store.promote(candidate, "by hand")
    # The next one begins with what flies now, and with what has been recorded since.
    assert learning.ask().success
    bench.until(lambda: learning.stages().count("done") == 2, "another end")
    third = next(d for d in learning.store.digests() if d not in (parent, candidate))
    assert learning.store.lineage(third) == [third, candidate, parent]


def test_what_is_refused_is_kept_and_does_not_fly(bench, tmp_path):
    learning = Learning(bench, tmp_path, episodes=6, finetune__controller=NOBODY)
    assert learning.ask().success
    done = learning.until("done")
    assert pairs(done)["accepted"] == "false"
    assert "2 episodes of help are held out, expected 4 or more" in done.message
    parent, candidate = learning.store.digests()
    assert learning.store.live == parent
    assert learning.store.papers(candidate)["verdict"]["accepted"] is False


def test_it_is_stopped_and_goes_on_and_dies_with_the_companion(bench, tmp_path):
    learning = Learning(bench, tmp_path, finetune__controller=NOBODY, finetune__cpu=0.3)
    assert bench.set_bool("companion/finetune", False).message == "nothing was under way"
    assert learning.ask().success
    learning.until("learning")
    (child,) = children(learning.process.pid)
    limits = Path(f"/proc/{child}/limits").read_text().splitlines()
    assert next(line for line in limits if "data size" in line).split()[3] == "2000000000"
    assert learning.ask(False).message == "stopped: the next start goes on"
    assert not children(learning.process.pid)
    before = max(int(pairs(m)["done"]) for m in learning.progress
                 if pairs(m)["stage"] == "learning")
    count = len(learning.progress)
    assert learning.ask().success
    bench.until(lambda: any(pairs(m)["stage"] == "learning" for m in learning.progress[count:]),
                "more to be learned")
    after = next(int(pairs(m)["done"]) for m in learning.progress[count:]
                 if pairs(m)["stage"] == "learning")
    # What was done was not done again; of the last epoch it may have had no time to tell.
    assert before < after <= before + 2
    (child,) = children(learning.process.pid)
    learning.process.send(signal.SIGKILL)
    learning.process.wait()
    bench.until(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_it_lets_every_other_process_run_first(bench, tmp_path):
    learning = Learning(bench, tmp_path, finetune__idle=True)
    assert learning.ask().success
    (child,) = children(learning.process.pid)
    bench.until(lambda: os.sched_getscheduler(child) == os.SCHED_IDLE, "its stepping back")
    assert os.getpriority(os.PRIO_PROCESS, child) == 19
    assert learning.ask(False).success


@pytest.mark.parametrize("parameters, sentence", [
    ({"finetune__rehearsal": NOBODY}, "parameter finetune.rehearsal is empty: expected a folder"),
    ({"finetune__rehearsal": "/nowhere"}, "parameter finetune.rehearsal is '/nowhere': expected"),
    ({"finetune__policy": "no_such_policy"}, "policy 'no_such_policy' does not ship"),
    ({"finetune__memory_mb": 100.0}, "more than --memory-mb 100 needed"),
])
def test_what_stands_in_its_way_is_said_in_a_sentence(bench, tmp_path, parameters, sentence):
    learning = Learning(bench, tmp_path, episodes=1, **parameters)
    answer = learning.ask()
    if answer.success:
        failed = learning.until("failed")
        assert failed.level == DiagnosticStatus.ERROR
        assert sentence in failed.message, failed.message
    else:
        assert sentence in answer.message
    assert learning.process.alive


def flight_from_the_store(bench, folder: Path, **parameters: object) -> Flight:
    """Start a controller that flies what a store lets fly."""
    policy = random_policy(bench.folder / "policy.safetensors")
    store = Store(folder / "store")
    if store.live is None:
        store.promote(store.add(policy), "to begin with")
    flight = Flight(bench, engage=True, policy=folder / "store" / LIVE, **parameters)
    flight.fly()
    return flight


@pytest.mark.parametrize("end", ["rolled back", "killed"])
def test_after_takeovers_it_learns_and_the_candidate_is_tried_and_fails(bench, tmp_path, end):
    flight = flight_from_the_store(bench, tmp_path)
    learning = Learning(bench, tmp_path, finetune__after_takeovers=1)
    takeover = bench.publisher(TwistStamped, "takeover")
    kept = bench.collect(DiagnosticStatus, "companion/status", LATCHED)

    def person():
        flight.sensors()
        takeover.publish(command((0.3, 0.0, 0.0, 0.1)))

    bench.until(lambda: flight.say()["mode"] == "takeover", "a takeover", person)
    bench.until(lambda: kept and pairs(kept[-1])["recording"] == "true", "its recording", person)
    release = bench.trigger("controller/release", flight.sensors)
    assert release.success, release.message
    done = learning.until("done", flight.sensors)
    assert pairs(done)["accepted"] == "true", done.message
    weights = pairs(done)["digest"][:16]
    assert bench.trigger("controller/engage", flight.sensors).success
    learning.until("trial", flight.sensors)
    assert flight.say()["policy"] == weights and "on trial" in flight.say()["swap"]
    again = bench.call(SetBool, "companion/finetune", SetBool.Request(data=True), flight.sensors)
    assert not again.success and f"policy {weights} is on trial in flight" in again.message
    # A start in the middle of it begins with what has been proven.
    before = learning.store.live
    candidate = learning.store.waiting()
    assert learning.link.resolve().stem == before != candidate
    assert learning.store.trials(candidate) == 1
    assert not learning.link.with_name(TRIAL).exists(), "nobody else is to take it"
    if end == "killed":
        flight.process.send(signal.SIGKILL)
        flight.process.wait()
        flight = flight_from_the_store(bench, tmp_path)
        flight.until(lambda: "came to nothing: none so far" in learning.progress[-1].message,
                     "that it waits again")
        assert learning.store.waiting() == candidate
    else:
        assert bench.trigger("controller/rollback", flight.sensors).success
        flight.until(lambda: f"policy {weights} has failed its trial" in
                     learning.progress[-1].message, "that it has failed")
        assert learning.store.waiting() is None, "no other is tried until a person says so"
    assert flight.say()["policy"] == load(learning.link.resolve()).weights_digest()[:16] != weights
    assert learning.link.resolve().stem == learning.store.live == before


def store_with_a_candidate(folder: Path, trials: int = 0) -> tuple[Store, str]:
    """Make a store in which a candidate waits, so many trials of which have begun."""
    store = Store(folder / "store")
    parent = store.add(random_policy(folder / "policy.safetensors"))
    store.promote(parent, "to begin with")
    learned = load(store.path(parent))
    learned.arrays["head.bias"] += 0.01
    save(folder / "learned.safetensors", learned)
    candidate = store.add(folder / "learned.safetensors", parent, {"verdict": {"accepted": True}})
    store.decide({"accepted": True, "said": "accepted: it is better"}, candidate)
    for _ in range(trials):  # as a companion that is killed before the controller has read it
        store.begin_trial(candidate)
    return store, candidate


def test_what_waits_is_tried_by_the_controller_that_comes_and_promoted_once_it_has_stood(
        bench, tmp_path):
    store, candidate = store_with_a_candidate(tmp_path, trials=1)
    parent = store.live
    learning = Learning(bench, tmp_path, episodes=1)
    assert "waits for its trial" in learning.until("waiting").message
    flight = flight_from_the_store(bench, tmp_path, swap__trial_s=0.5)
    assert flight.say()["policy"] == load(store.path(parent)).weights_digest()[:16]
    promoted = learning.until("promoted", flight.sensors)
    assert "has stood its trial" in promoted.message
    assert learning.link.resolve().stem == store.live == candidate
    assert flight.say()["policy"] == load(store.path(candidate)).weights_digest()[:16]
    assert flight.say()["policy_parameter"] == str(learning.link)
    assert store.history()[-1].numbers["accepted"] is True


def test_a_candidate_whose_trials_all_came_to_nothing_has_failed(bench, tmp_path):
    store, _ = store_with_a_candidate(tmp_path, trials=3)
    flight = flight_from_the_store(bench, tmp_path)
    learning = Learning(bench, tmp_path, episodes=1)
    failed = learning.until("failed", flight.sensors)
    assert "3 trials have begun, and none was stood" in failed.message
    assert store.waiting() is None and flight.say()["swap"] == "settled; none so far"


@pytest.mark.parametrize("end", ["failed", "promoted"])
def test_what_came_of_a_trial_while_the_companion_was_down_counts(bench, tmp_path, end):
    store, candidate = store_with_a_candidate(tmp_path)
    parent = store.live
    stands = end == "promoted"
    flight = flight_from_the_store(bench, tmp_path, swap__trial_s=1.0 if stands else 60.0)
    learning = Learning(bench, tmp_path, episodes=1)
    learning.until("trial", flight.sensors)

    def readers():
        return bench.node.count_subscribers("controller/status")

    both = readers()
    learning.process.send(signal.SIGKILL)
    learning.process.wait()
    if stands:
        flight.until(lambda: "has stood its trial" in flight.say()["swap"], "that it has stood")
    else:
        assert bench.trigger("controller/rollback", flight.sensors).success
    flight.until(lambda: readers() < both, "the dead to be forgotten")
    # It hears of the end before it is active: before it has looked into the store.
    others = readers()
    learning.start(autostart=False)
    flight.until(lambda: readers() > others, "a reader of what the controller says")
    flight.more(30)  # meanwhile what is latched comes
    assert bench.transition("companion", Transition.TRANSITION_ACTIVATE)
    learning.until(end, flight.sensors)
    assert store.trials(candidate) == (0 if stands else 1), "it was not tried again"
    assert store.live == (candidate if stands else parent) and store.waiting() is None


def test_what_a_person_decides_during_a_trial_holds(bench, tmp_path):
    store, candidate = store_with_a_candidate(tmp_path)
    parent = store.live
    flight = flight_from_the_store(bench, tmp_path, swap__trial_s=1.0)
    learning = Learning(bench, tmp_path, episodes=1)
    learning.until("trial", flight.sensors)
    store.promote(store.add(random_policy(tmp_path / "another.safetensors")), "by hand")
    another = store.live
    failed = learning.until("failed", flight.sensors)
    assert "somebody has decided otherwise" in failed.message
    assert store.live == another not in (parent, candidate)
    assert learning.link.resolve().stem == another


def test_a_controller_that_does_not_fly_from_the_store_is_not_asked(bench, tmp_path):
    flight = Flight(bench, engage=True)
    flight.fly()
    learning = Learning(bench, tmp_path)
    # Of a node that is not known yet nobody may ask.
    bench.until(lambda: "companion" in bench.node.get_node_names() and
                bench.node.get_client_names_and_types_by_node("companion", "/"),
                "its client", flight.sensors)
    assert bench.call(SetBool, "companion/finetune", SetBool.Request(data=True),
                      flight.sensors).success
    failed = learning.until("failed", flight.sensors)
    assert f"expected '{learning.link}', so that it flies" in failed.message
    assert flight.say()["swap"] == "settled; none so far", "nobody asked"
