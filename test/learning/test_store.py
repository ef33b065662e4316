"""The policy store: names mean bytes, the history is the truth, and a kill costs nothing."""

import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from policies_for_tests import small_checkpoint

from lnn_ros import policies
from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.store import Store
from lnn_ros.liquid.checkpoint import load, save
from lnn_ros.policies import LIVE, TRIAL


def policy(folder, number):
    """A policy file that differs from those of other numbers."""
    file = folder / f"policy_{number}.safetensors"
    checkpoint = small_checkpoint()
    checkpoint.arrays["head.bias"][:] = 0.01 * number
    save(file, checkpoint)
    return file


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_policy_is_named_by_its_bytes_and_kept_once(store, tmp_path):
    files = [policy(tmp_path, n) for n in (1, 2)]
    first, second = map(store.add, files)
    assert store.digests() == [first, second] and len(first) == 64
    assert store.add(files[0], about={"data": "other"}) == first
    assert store.digests() == [first, second] and "data" not in store.papers(first)
    assert store.path(first).read_bytes() == files[0].read_bytes()
    assert store.find(first[:8]) == first
    with pytest.raises(LnnError, match="0 policies begin with '00000000', expected one"):
        store.find("00000000")
    with pytest.raises(LnnError, match="by 8 digits or more"):
        store.find(first[:7])


def test_what_is_no_policy_is_refused_and_leaves_nothing(store, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(policy(tmp_path, 1).read_bytes()[:500])
    with pytest.raises(LnnError, match=str(bad)):
        store.add(bad)
    with pytest.raises(LnnError, match="expected a policy"):
        store.add(tmp_path / "missing")
    with pytest.raises(LnnError, match="expected the parent of"):
        store.add(policy(tmp_path, 1), parent="0" * 64)
    assert not list((store.folder / "policies").iterdir())


def test_a_damaged_policy_is_never_promoted(store, tmp_path):
    digest = store.add(policy(tmp_path, 1))
    file = store.path(digest)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(LnnError, match="the file is damaged"):
        store.promote(digest, "it is better")
    file.unlink()
    with pytest.raises(LnnError, match="expected a policy of the store"):
        store.promote(digest, "it is better")
    assert store.live is None and not (store.folder / LIVE).exists()


def test_promotions_are_gone_back_one_by_one(store, tmp_path):
    a, b, c = (store.add(policy(tmp_path, n)) for n in (1, 2, 3))
    with pytest.raises(LnnError, match="0 policies have been promoted"):
        store.rollback("nothing there")
    for digest in (a, b, b, c):
        store.promote(digest, "it is better", {"gain": 0.1})
        assert load(store.folder / LIVE).weights_digest() == load(
            store.path(digest)).weights_digest()
    assert store.rollback("the guard tripped").before == c
    assert store.live == b
    store.rollback("still")
    assert store.live == a and os.readlink(store.folder / LIVE) == f"policies/{a}.safetensors"
    with pytest.raises(LnnError, match="1 policies have been promoted"):
        store.rollback("once more")
    store.promote(c, "again")
    assert store.rollback("again").policy == a
    last = store.history()[0]
    assert last.why == "it is better" and last.numbers == {"gain": 0.1} and last.before is None


def test_a_policy_knows_where_it_comes_from(store, tmp_path):
    a = store.add(policy(tmp_path, 1))
    b = store.add(policy(tmp_path, 2), parent=a, about={"judged": {"better": True}})
    c = store.add(policy(tmp_path, 3), parent=b)
    assert store.lineage(c) == [c, b, a] and store.lineage(a) == [a]
    assert store.papers(b)["judged"] == {"better": True}


def test_half_a_line_was_never_written_and_a_damaged_one_is_named(store, tmp_path):
    a, b = (store.add(policy(tmp_path, n)) for n in (1, 2))
    store.promote(a, "first")
    log = store.folder / "history.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"time": "2026')
    assert store.live == a
    store.promote(b, "second")
    assert [change.policy for change in store.history()] == [a, b]
    log.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(LnnError, match=r"history.jsonl: line 1: .* expected a change of policy"):
        store.history()


def test_the_link_follows_the_history_after_a_kill_between_the_two(store, tmp_path):
    a, b = (store.add(policy(tmp_path, n)) for n in (1, 2))
    store.promote(a, "first")
    store.promote(b, "second")
    link = store.folder / LIVE
    link.unlink()
    link.symlink_to(f"policies/{a}.safetensors")
    Store(store.folder).mend()
    assert os.readlink(link) == f"policies/{b}.safetensors"


def accepted(store, tmp_path, number, parent):
    """Take in a candidate that a judge has accepted."""
    digest = store.add(policy(tmp_path, number), parent)
    store.decide({"accepted": True, "said": "accepted: it is better"}, digest)
    return digest


def test_what_is_accepted_waits_for_a_trial_and_after_a_failure_none_does(store, tmp_path):
    assert store.waiting() is None
    a = store.add(policy(tmp_path, 1))
    store.promote(a, "first")
    b, c = (accepted(store, tmp_path, n, a) for n in (2, 3))
    store.decide({"accepted": False, "said": "refused: it is worse"},
                 store.add(policy(tmp_path, 4), a))
    assert store.waiting() == c and store.live == a
    live, trial = store.folder / LIVE, store.folder / TRIAL
    assert policies.newcomer(str(live)) == policies.find(str(live)) == live
    store.begin_trial(c)
    assert live.resolve().stem == store.live == a and trial.resolve().stem == c
    assert policies.newcomer(str(live)) == trial and policies.find(str(live)) == live
    assert policies.newcomer(str(store.path(a))) == store.path(a)
    assert (store.trials(c), store.trials(b)) == (1, 0)
    with pytest.raises(LnnError, match=f"policy {c[:12]} waits for a trial, expected {b[:12]}"):
        store.begin_trial(b)
    store.fail(c, "the guard held the vehicle")
    assert not trial.is_symlink() and store.waiting() is None and store.live == a
    with pytest.raises(LnnError, match="somebody has decided otherwise"):
        store.stood(c, "it has stood")
    d = accepted(store, tmp_path, 5, a)
    assert store.waiting() is None, "a person decides"
    store.promote(a, "go on")
    assert store.waiting() == d
    store.begin_trial(d)
    before = store.version()
    assert store.stood(d, "it has stood").policy == store.live == d != before
    assert store.version() != before and not trial.is_symlink()
    assert store.waiting() is None, "what waits was made from what flies"
    e = accepted(store, tmp_path, 6, d)
    assert store.waiting() == e
    store.rollback("it flies badly")
    assert store.live == a and store.waiting() is None
    store.promote(a, "go on")
    assert store.waiting() is None, "what was gone back from is not come back to"
    store.decide({"accepted": True, "said": "accepted: it is better"}, c)
    assert store.waiting() is None, "what has failed is not tried again"
    (store.folder / "policies" / f"{b}.json").unlink()
    assert store.waiting() is None, "also where somebody has tidied up"
    for damaged in ("nonsense", '{"candidate": null}', '{"trial": "begun", "candidate": "x"}',
                    '{"candidate": ["x"], "accepted": true}',
                    '{"trial": "ended", "candidate": "x", "changes": 1}'):
        (store.folder / "decisions.jsonl").write_text(f"{damaged}\n")
        with pytest.raises(LnnError, match=r"decisions.jsonl: line 1: .* expected a decision"):
            store.waiting()


def test_what_a_person_says_during_a_trial_is_taken_by_the_next_swap(store, tmp_path):
    a, b = (store.add(policy(tmp_path, k)) for k in (1, 2))
    store.promote(a, "first")
    c = accepted(store, tmp_path, 3, a)
    live, trial = store.folder / LIVE, store.folder / TRIAL
    store.begin_trial(c)  # and its companion is killed
    store.promote(b, "by hand")
    assert not trial.is_symlink() and policies.newcomer(str(live)) == live
    d = accepted(store, tmp_path, 4, b)
    store.fail(c, "the guard held the vehicle")
    assert store.waiting() == d, "of the policy before: what a person has said since stands"
    store.begin_trial(d)
    store.promote(d, "at once")
    assert store.stood(d, "it has stood").why == "at once"
    store.begin_trial(accepted(store, tmp_path, 5, d))
    store.rollback("I liked it better")
    assert not trial.is_symlink() and store.live == b


@pytest.mark.parametrize("name", ["/", "./", "x" * 5000 + "/live.safetensors"])
def test_a_policy_that_cannot_be_a_file_is_no_candidate(name):
    assert policies.newcomer(name) == policies.find(name)


def test_the_command_shows_and_changes_it(store, tmp_path, capsys):
    def said(*words):
        assert main(["store", str(store.folder), *words]) == 0
        return capsys.readouterr().out

    first = said("add", str(policy(tmp_path, 1))).strip()
    second = said("add", str(policy(tmp_path, 2)), "--parent", first[:12]).strip()
    said("promote", first[:12])
    assert said("promote", second[:12], "--why", "it is better") == f"{second} flies\n"
    listed = said().splitlines()
    assert [line[:14] for line in listed[:2]] == [f"  {first[:12]}", f"* {second[:12]}"]
    assert listed[1].endswith(f"from {first[:12]}") and listed[3].endswith(": it is better")
    assert json.loads(said("show", second[:12]))["lineage"] == [second, first]
    third = accepted(store, tmp_path, 3, second)
    last = said().splitlines()[-1]
    assert last == f"{third[:12]} was accepted, and waits for its trial in flight"
    store.fail(third, "the guard held the vehicle")
    assert said().endswith(f"  {third[:12]} failed its trial: the guard held the vehicle\n")
    assert said("rollback") == f"{first} flies again\n" and store.live == first
    for words, expected in ((("show",), "expected a digest"), (("rollback", "x"), "nothing after"),
                            (("promote", "12345678"), "0 policies begin with")):
        assert main(["store", str(store.folder), *words]) == 2
        assert expected in capsys.readouterr().err
    assert main(["store", str(tmp_path / "none")]) == 2 and not (tmp_path / "none").exists()


KILLED = """
import sys
from pathlib import Path
from lnn_ros.learning.store import Store
store, files = Store(Path(sys.argv[1])), [Path(f) for f in sys.argv[2:]]
print("ready", flush=True)
while True:
    for file in files:
        digest = store.add(file)
        store.promote(digest, "in turn")
        print(digest, flush=True)
"""


@pytest.mark.parametrize("number", range(5))
def test_a_kill_at_any_instant_leaves_a_store_that_goes_on(store, tmp_path, number):
    files = [policy(tmp_path, n) for n in (1, 2, 3)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store.folder), *map(str, files)],
        stdout=subprocess.PIPE, text=True)
    said = [process.stdout.readline().strip() for _ in range(3 + 2 * number)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    promoted = [digest for digest in said if digest != "ready"]
    history = [change.policy for change in store.history()]
    assert history[: len(promoted)] == promoted, "what was said to be done is done"
    for digest in store.digests():
        assert load(store.path(digest)) and store.papers(digest)
    store.mend()
    assert os.readlink(store.folder / LIVE) == f"policies/{store.live}.safetensors"
    other = store.add(policy(tmp_path, 4))
    store.promote(other, "it goes on")
    assert store.live == other


class Model(RuleBasedStateMachine):
    """Whatever is promoted and rolled back, in whatever order: the store agrees with a list."""

    folder = None

    def __init__(self):
        super().__init__()
        Model.number = getattr(Model, "number", 0) + 1
        self.store = Store(Model.folder / f"model_{Model.number}")
        self.known = [self.store.add(policy(Model.folder, n)) for n in range(3)]
        self.stack = []

    @rule(which=st.integers(0, 2))
    def promote(self, which):
        self.store.promote(self.known[which], "so")
        if self.stack[-1:] != [self.known[which]]:
            self.stack.append(self.known[which])
        assert self.store.live == self.stack[-1]

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def rollback(self):
        self.store.rollback("so")
        self.stack.pop()
        assert self.store.live == self.stack[-1]

    @rule()
    def open_anew(self):
        self.store = Store(self.store.folder)
        assert self.store.live == (self.stack[-1] if self.stack else None)
        lines = (self.store.folder / "history.jsonl")
        assert not lines.exists() or all(map(json.loads, lines.read_text().splitlines()))


def test_any_order_of_promotions_and_rollbacks(tmp_path):
    Model.folder = tmp_path
    run_state_machine_as_test(Model, settings=settings(max_examples=15, stateful_step_count=15,
                                                       deadline=None))
