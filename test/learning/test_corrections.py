"""What help teaches: what was corrected, with what came before, and what nobody corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lessons import lesson
from policies_for_tests import small_spec, small_wiring

from lnn_ros.learning.corrections import BEFORE_S, CONTEXT, excerpts, uncorrected
from lnn_ros.learning.trainer import Trainer


def test_only_what_is_labelled_is_cut_out_with_what_came_before():
    one = lesson(3, count=500)
    weights = np.zeros_like(one.weights)
    weights[100:110], weights[150:155], weights[400:402], weights[20:22] = 1.0, 1.0, 1.0, 1.0
    where = one.where.copy()
    where[::3] = -1
    one = replace(one, weights=weights, where=where)
    parts = excerpts(one)
    assert [len(part) for part in parts] == [22, 155 - (100 - CONTEXT), 402 - (400 - CONTEXT)]
    assert sum(part.weights.sum() for part in parts) == weights.sum()
    begin = 100 - CONTEXT
    for k, place in enumerate(parts[1].where):
        assert (place < 0) == (where[begin + k] < 0)
        if place >= 0:
            assert np.array_equal(parts[1].frames[place], one.frames[where[begin + k]])
    assert np.array_equal(parts[1].labels, one.labels[begin:155])
    assert len(parts[1].frames) == (parts[1].where >= 0).sum(), "no other is looked at"
    assert excerpts(replace(one, weights=0 * weights)) == []


@given(helped=st.lists(st.booleans(), min_size=12, max_size=12),
       took=st.lists(st.floats(0.01, 1.5), min_size=12, max_size=12))
def test_what_led_to_help_or_the_end_and_the_help_are_corrected_and_nothing_else(helped, took):
    one = lesson(3, count=12)
    summaries = one.summaries.copy()
    summaries[:, -1] = took
    weights = np.repeat(np.array(helped, np.float32)[:, None], one.weights.shape[1], 1)
    one = replace(one, summaries=summaries, weights=weights)
    commands = np.arange(48, dtype=np.float32).reshape(12, 4)
    found = uncorrected(one, commands)
    ends = np.cumsum(summaries[:, -1], dtype=np.float64)
    for k in range(12):
        near = [k <= j and ends[j] - ends[k] <= BEFORE_S for j in range(12)
                if helped[j] or j == 11]
        assert (found.weights[k] == (0.0 if any(near) else 1.0)).all()
        assert (found.labels[k] == commands[k]).all()
    assert not found.taken.any(), "it is asked for at the update itself"
    assert found.frames is one.frames


def test_what_the_policy_says_itself_costs_it_nothing():
    trainer = Trainer(small_spec("flow"), small_wiring("flow"), 3)
    one = lesson(5, count=80)
    where, summaries = one.where.copy(), one.summaries.copy()
    where[10:20] = -1
    summaries[10:20, -3] = 0.0  # camera_present
    one = replace(one, where=where, summaries=summaries, weights=0 * one.weights)
    own = uncorrected(one, trainer.commands(one))
    assert own.weights[:20].all()
    assert trainer.loss([own], 1, len(own)) < 1e-6
    assert trainer.loss([replace(own, labels=own.labels + 0.1)], 1, len(own)) > 1e-3
