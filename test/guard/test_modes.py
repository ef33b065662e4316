"""Every event in every mode leads somewhere, or is refused with a sentence."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.guard.modes import STOPPED, TABLE, Event, Mode, Modes, Refusal, mermaid, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "safety.md"
EVERY = list(itertools.product(Mode, Event))
BACK_TO_THE_POLICY = {Event.ENGAGE, Event.RESUME}


@pytest.mark.parametrize("mode, event", EVERY)
def test_every_event_is_answered_in_every_mode(mode, event):
    modes = Modes(mode, "before")
    after = TABLE[mode][event]
    if isinstance(after, Mode):
        assert modes.handle(event, "because") is (after is not mode)
        assert modes.mode is after
        assert modes.reason == ("before" if after is mode else "because")
        assert modes.cause is (None if after is mode else event)
        assert dict(modes.transitions) == ({} if after is mode else {after.value: 1})
    else:
        with pytest.raises(Refusal, match=f"^{event.value} refused: ") as refused:
            modes.handle(event, "because")
        assert after in str(refused.value) and len(after) > 10
        assert (modes.mode, modes.reason, modes.cause) == (mode, "before", None)


def test_the_table_has_every_pair():
    assert set(TABLE) == set(Mode) and all(set(row) == set(Event) for row in TABLE.values())


@pytest.mark.parametrize("mode, event", EVERY)
def test_only_a_person_or_a_return_leads_to_the_policy(mode, event):
    if TABLE[mode][event] is Mode.ENGAGED and mode is not Mode.ENGAGED:
        assert event in BACK_TO_THE_POLICY
        assert event is Event.ENGAGE or mode is Mode.HOLD


@pytest.mark.parametrize("mode", Mode)
def test_errors_end_in_fault_and_only_reset_leaves_it(mode):
    assert TABLE[mode][Event.FAIL] is Mode.FAULT
    assert TABLE[mode][Event.RESET] is Mode.DISENGAGED
    assert TABLE[mode][Event.SHUTDOWN] in STOPPED
    assert mode is Mode.FAULT or TABLE[mode][Event.DISENGAGE] is Mode.DISENGAGED
    leaving = {event for event in Event if TABLE[Mode.FAULT][event] in set(Mode) - {Mode.FAULT}}
    assert leaving == {Event.RESET}


def test_a_takeover_wins_over_the_policy_and_ends_in_hold():
    for mode in (Mode.ENGAGED, Mode.HOLD, Mode.TAKEOVER):
        assert TABLE[mode][Event.TAKE_OVER] is Mode.TAKEOVER
    assert TABLE[Mode.TAKEOVER][Event.RELEASE] is Mode.HOLD
    assert not isinstance(TABLE[Mode.TAKEOVER][Event.ENGAGE], Mode)


@given(st.lists(st.sampled_from(Event)))
def test_the_reason_is_that_of_the_last_transition(events):
    modes = Modes()
    last = modes.reason
    for number, event in enumerate(events):
        mode = modes.mode
        try:
            changed = modes.handle(event, f"{number}")
        except Refusal:
            changed = False
        assert changed is (modes.mode is not mode)
        last = f"{number}" if changed else last
        assert modes.reason == last


def test_a_refusal_in_fault_says_what_the_fault_was():
    modes = Modes()
    modes.handle(Event.FAIL, "the camera's lens fell off")
    with pytest.raises(Refusal, match=r"reset first.*lens fell off"):
        modes.handle(Event.ENGAGE, "by service")


def test_the_page_shows_the_table_as_it_is():
    page = PAGE.read_text()
    assert f"```mermaid\n{mermaid()}```\n" in page
    assert f"\n{table()}\n" in page
