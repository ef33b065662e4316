"""Closed loop: an agent flies a simulator. The pilot is an agent, and so are the controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.experts import make_expert
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator
from lnn_ros.simulation.teachers import make_teacher


class Agent(Protocol):
    """Anything that takes samples and answers with commands."""

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> object:
        """Take a sample, measured at ``stamp_ns``; the clock says ``now_ns``."""

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """Answer with the command for an instant, shape (4,)."""


class Blind:
    """What agents that look at no samples have in common."""

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> None:
        """Ignore the sample."""


class ExpertAgent(Blind):
    """The privileged expert as an agent: it sees the truth, not the samples."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._expert = make_expert(sim.world, sim.task)

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """Answer from the truth."""
        return self._expert.command(self._sim.truth)


class TeacherAgent(ExpertAgent):
    """The teacher as an agent: it knows where it is, and sees what is in the frames that come."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._lost: Lost | None = Lost.FRAMES
        self._teacher = make_teacher(sim.world, sim.geometry, sim.task,
                                     shifts=sim.options.shifts)

    def observe(
        self,
        stream: str,
        stamp_ns: int,
        value: NDArray[np.generic],
        now_ns: int | None = None,
    ) -> None:
        """Note that a frame has come, and what it does not show."""
        if stream == "camera":
            self._lost = self._sim.lost(stamp_ns)

    def command(self, at_ns: int) -> NDArray[np.float64]:
        """Look and answer."""
        truth = self._sim.truth
        self._teacher.look(truth, self._lost)
        self._lost = Lost.FRAMES
        return self._teacher.command(truth)


@dataclass(frozen=True)
class Flight:
    """How a flight ended.

    Attributes
    ----------
    outcome : Outcome
    seconds : float
        Simulated time to the outcome.
    distance : float
        To the target's surface at the end, metres.
    clearance : float
        Smallest distance to any solid on the way, metres.
    path : float
        Length of the way, metres.
    """

    outcome: Outcome
    seconds: float
    distance: float
    clearance: float
    path: float


def fly(sim: Simulator, agent: Agent, period_ns: int = CONTROL_PERIOD_NS) -> Flight:
    """Fly until the outcome is known (the task's time limit ends every flight).

    Parameters
    ----------
    sim : Simulator
        At its first instant.
    agent : Agent
    period_ns : int
        Control period, ns.
    """
    tick, path, last = 0, 0.0, sim.position
    while sim.outcome is Outcome.FLYING:
        tick += 1
        for delivery in sim.advance(START_NS + tick * period_ns):
            agent.observe(delivery.stream, delivery.stamp_ns, delivery.value, sim.time_ns)
        sim.command(agent.command(sim.time_ns))
        here = sim.position
        path += float(np.linalg.norm(here - last))
        last = here
    seconds = (sim.time_ns - START_NS) * 1e-9
    return Flight(sim.outcome, seconds, float(sim.distance), float(sim.clearance), path)
