"""The judge: who is better and nowhere worse may fly, nobody else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from flights_for_tests import CAMERA, arrays, write
from flyers import small_task
from hypothesis import given
from hypothesis import strategies as st
from lessons import lesson
from policies_for_tests import small_checkpoint, small_spec, small_wiring

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.finetune import Recipe, finetune
from lnn_ros.learning.judge import Rules, fly_both, held_out, judge
from lnn_ros.learning.store import Store
from lnn_ros.learning.trainer import Trainer
from lnn_ros.learning.verdict import Finding, Verdict
from lnn_ros.liquid.checkpoint import Checkpoint, load, save
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.simulation.seeds import JUDGED, VALIDATION

RULES = Rules(worlds=0)


def elsewhere(seed, harm=None):
    """A place that feels otherwise, in which a person flies faster, or is said to."""
    one = lesson(seed)
    labels, summaries, reads = one.labels.copy(), one.summaries.copy(), one.reads.copy()
    labels[..., 0] = 1.0
    for felt in (summaries, reads):
        felt[..., SUMMARY.index("specific_force_x")] = 4.0
    if harm is not None:
        labels = harm(labels)
    return replace(one, labels=labels, summaries=summaries, reads=reads,
                   hints=np.full_like(one.hints, np.nan))


@pytest.fixture(scope="module")
def taught():
    torch.set_num_threads(1)
    trainer = Trainer(small_spec("flow"), small_wiring("flow"), 1)
    data = [lesson(i) for i in range(8)]
    for epoch in range(10):
        trainer.epoch(data, (0, epoch), (1e-2, 1e-3), 4, 10)
    return Checkpoint(trainer.policy.spec, trainer.policy.arrays(), small_checkpoint().card)


OLD, KEPT = [lesson(i) for i in range(8)], [lesson(50 + i) for i in range(4)]
HELP, HELD = [elsewhere(100 + i) for i in range(8)], [elsewhere(150 + i) for i in range(5)]
RECIPE = Recipe(epochs=25, rate=5e-3, penalty=0.3)


@pytest.fixture(scope="module")
def better(taught):
    return finetune(taught, HELP, OLD, RECIPE)[0]


def names(findings):
    return [finding.name for finding in findings if not finding.passed]


def test_who_is_better_at_what_is_new_and_has_kept_what_is_old_is_accepted(taught, better):
    findings = judge(taught, better, HELD, KEPT, RULES)
    assert not names(findings), [f.said for f in findings]
    assert findings[1].said == "nobody flew uncorrected: nothing to compare"
    verdict = Verdict(tuple(findings))
    assert verdict.accepted and verdict.said.startswith("accepted: loss on help from ")
    assert json.loads(json.dumps(verdict.as_dict()))["findings"][0]["numbers"]["episodes"] == 5


def test_who_is_the_same_or_worse_is_refused(taught, better):
    assert names(judge(taught, taught, HELD, KEPT, RULES)) == ["help"]
    assert "help" in names(judge(better, taught, HELD, KEPT, RULES))


def test_who_forgets_is_refused(taught):
    forgetful, _ = finetune(taught, HELP, [], replace(RECIPE, penalty=0.0, rate=2e-2))
    findings = judge(taught, forgetful, HELD, KEPT, RULES)
    assert "rehearsal" in names(findings), [f.said for f in findings]
    assert "refused: " in Verdict(tuple(findings)).said


def test_who_changes_what_nobody_corrected_is_refused(taught):
    """Help that everywhere turns hard, in the second half of the flights alone."""
    def harm(labels):
        labels = labels.copy()
        labels[..., :] = 0.0, 0.3, 0.0, -1.0
        return labels

    def half(one):
        weights = one.weights.copy()
        weights[: len(one) // 2] = 0.0
        return replace(one, weights=weights)

    helped, held = ([half(elsewhere(first + i, harm)) for i in range(count)]
                    for first, count in ((400, 8), (450, 5)))
    learned, kept = (finetune(taught, helped, [], replace(RECIPE, penalty=0.0, rate=2e-2,
                                                          uncorrected=share))[0]
                     for share in (0.0, 3.0))
    findings = judge(taught, learned, held, KEPT, RULES)
    assert "uncorrected" in names(findings), [f.said for f in findings]
    (before, after) = (judge(taught, one, held, KEPT, RULES)[1].numbers["change"]
                       for one in (learned, kept))
    assert np.mean(after) < 0.5 * np.mean(before)


def test_of_too_little_nothing_is_concluded(taught, better):
    assert names(judge(taught, better, HELD[:3], KEPT, RULES)) == ["help"]
    assert names(judge(taught, better, HELD, KEPT[:1], RULES)) == ["rehearsal"]
    silent = [replace(one, weights=np.zeros_like(one.weights)) for one in HELD]
    assert names(judge(taught, better, silent, KEPT, RULES)) == ["help"]


def test_who_answers_with_no_number_is_refused(taught, better):
    arrays_ = dict(better.arrays)
    name = next(n for n in arrays_ if n.startswith("head"))
    arrays_[name] = np.full_like(arrays_[name], np.nan)
    broken = replace(better, arrays=arrays_)
    findings = judge(taught, broken, HELD, KEPT, RULES)
    assert names(findings) == ["help", "rehearsal"]
    assert "no finite number" in findings[0].said


@given(st.lists(st.integers(), max_size=30), st.lists(st.integers(), max_size=10))
def test_who_judged_once_never_teaches_and_nobody_is_lost(episodes, more):
    learn, held = held_out(episodes)
    assert sorted([*learn, *held]) == sorted(episodes) and len(held) == len(episodes) // 3
    learn_more, held_more = held_out([*episodes, *more])
    assert learn_more[:len(learn)] == learn and held_more[:len(held)] == held


def test_it_flies_both_in_the_same_worlds_that_nobody_knows_before(taught, better, tmp_path):
    assert set(JUDGED) < set(VALIDATION)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file, one in zip(files, (taught, better), strict=True):
        save(file, one)
    task, rested = small_task(tmp_path, 0.3), []
    digest = better.weights_digest()
    found = fly_both(*files, task, digest, replace(RULES, worlds=2), lambda: rested.append(1))
    assert found.passed and found.numbers["seeds"][1] - found.numbers["seeds"][0] == 2
    assert found.numbers["seeds"][0] in JUDGED and len(rested) == 4
    again = fly_both(*files, task, "00" * 32, replace(RULES, worlds=1))
    assert again.numbers["seeds"] == [JUDGED.start, JUDGED.start + 1]
    assert fly_both(*files, task, digest, RULES).said == "not flown: no worlds asked for"


def test_rules_are_checked():
    for wrong in ({"episodes": 1}, {"margin": -0.1}, {"change": -0.1}, {"worlds": -1},
                  {"worlds": 10**6}, {"worse": 1.1}):
        with pytest.raises(LnnError, match="expected two episodes or more"):
            Rules(**wrong)


def test_a_verdict_is_the_sum_of_its_findings():
    yes, no = Finding("a", True, "fine", {}), Finding("b", False, "too bad", {})
    assert Verdict((yes,)).said == "accepted: fine" and Verdict((yes,)).accepted
    assert Verdict((yes, no)).said == "refused: too bad" and not Verdict((yes, no)).accepted


def test_the_command_stores_every_candidate_and_only_the_accepted_wait_to_fly(
        taught, tmp_path, capsys):
    policy, store = tmp_path / "policy.safetensors", tmp_path / "store"
    taught.card["camera"] = {**taught.card["camera"], "width": CAMERA.width,
                             "height": CAMERA.height, "fov": CAMERA.horizontal_fov}
    save(policy, taught)
    for k in range(12):
        helped = arrays(k, 1.5)
        helped["labels"][:] = (0.5, 0.0, 0.0, 0.3)  # what can be learned of any picture
        helped["imu"][:, :3] = 0.0  # with which it cannot be said to turn
        write(tmp_path / "help" / f"{k:02}", helped)
    for k in range(6):
        write(tmp_path / "old" / f"{k:02}", arrays(50 + k, 1.5))
    out = tmp_path / "candidate.safetensors"
    words = ["finetune", str(tmp_path / "help"), "--policy", str(policy), "--rehearsal",
             str(tmp_path / "old"), "--out", str(out), "--epochs", "15", "--rate", "0.01",
             "--encoder-epochs", "0", "--worlds", "0", "--store", str(store)]
    assert main([*words, "--margin", "0"]) in (0, 1)
    first = load(out).card["training"]["verdict"]
    assert main([*words, "--margin", "1000", "--seed", "1"]) == 0
    there = Store(store)
    verdicts = [there.papers(d).get("verdict") for d in there.digests()]
    assert len(verdicts) == 3 and verdicts[0] is None, "the policy that flew, and two candidates"
    assert [v["accepted"] for v in verdicts[1:]] == [first["accepted"], True]
    parent, candidate = there.digests()[0], there.digests()[2]
    assert there.live == parent and there.lineage(candidate) == [candidate, parent]
    assert there.waiting() == candidate
    assert "waits there for its trial" in capsys.readouterr().out
    assert [one["candidate"] for one in there.decisions()] == there.digests()[1:]
    # Once one has failed in flight, others are kept and do not wait, until a person says so.
    there.fail(candidate, "the guard held the vehicle")
    again = [*words, "--margin", "1000", "--seed", "1"]
    assert main([*again, "--penalty", "0.29"]) == 0 and there.waiting() is None
    there.promote(parent, "go on")
    assert main([*again, "--penalty", "0.28"]) == 0
    assert there.waiting() == there.decisions()[-1]["candidate"] == there.digests()[-1]


def test_help_that_does_not_fit_itself_is_not_even_learned_from(taught, tmp_path, capsys):
    policy, store, out = (tmp_path / name for name in ("p.safetensors", "store", "c.safetensors"))
    taught.card["camera"] = {**taught.card["camera"], "width": CAMERA.width,
                             "height": CAMERA.height, "fov": CAMERA.horizontal_fov}
    save(policy, taught)
    for k in range(4):  # pictures at random do not turn as the gyroscope says
        write(tmp_path / "help" / f"{k:02}", arrays(k, 4.0))
    words = ["finetune", str(tmp_path / "help"), "--policy", str(policy), "--out", str(out),
             "--store", str(store), "--json", str(tmp_path / "found.json")]
    assert main(words) == 1 and not out.exists()
    assert "refused: pictures turn with the gyroscope" in capsys.readouterr().out
    there = Store(store)
    (decision,) = there.decisions()
    assert decision["candidate"] is None and decision["accepted"] is False
    assert len(there.digests()) == 1 and there.live == there.digests()[0]
    assert json.loads((tmp_path / "found.json").read_text())["verdict"]["accepted"] is False
