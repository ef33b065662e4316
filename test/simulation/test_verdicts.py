"""The end of a flight is said in words of its goal."""

from lnn_ros.simulation.referee import Outcome
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.verdicts import said, stamped

FLY, FOLLOW = (Task.load(name).success for name in ("fly_to_target", "follow_target"))


def test_every_outcome_has_words():
    for goal in (FLY, FOLLOW):
        assert len({said(goal, outcome.value) for outcome in Outcome}) == len(Outcome)
        over = [outcome for outcome in Outcome if outcome is not Outcome.FLYING]
        assert len({stamped(goal, outcome.value) for outcome in over}) == len(over)
        assert stamped(goal, Outcome.FLYING.value) == ""
    assert said(FLY, "arrived") == "arrived"
    assert said(FOLLOW, "arrived") == "stayed with the target"
    assert stamped(FOLLOW, "contact") == stamped(FLY, "contact") == "CONTACT"
