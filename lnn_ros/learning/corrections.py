"""What a flight with a helping hand teaches: where it was corrected, and where nobody had to.

A person takes over where the policy is about to fail, and flies as one does there: slowly, and
aside. Who learns from that alone learns to fly so everywhere. Where nobody took over, nor was about
to, the policy's own commands were good enough, and are learned beside (intervention weighted
regression: Mandlekar et al., "Human-in-the-loop imitation learning using remote teleoperation",
arXiv:2012.06733; with the policy's own answers as labels: Li and Hoiem, "Learning without
forgetting", arXiv:1606.09282).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lnn_ros.learning.dataset import Recording

CONTEXT = 64
"""Updates before what is labelled, about 3 s."""
BEFORE_S = 2.0
"""Time before somebody took over, or the flight ended, in which what was flown led there, s."""


def excerpts(recording: Recording) -> list[Recording]:
    """Cut out what is labelled, each time with what came shortly before.

    Of a flight in which somebody helped for seconds, the rest teaches nothing; but the network has
    to have seen what went before.
    """
    labelled = np.flatnonzero(recording.weights.any(1))
    found: list[Recording] = []
    while len(labelled):
        # What lies no farther apart than what has to go before goes together.
        breaks = np.flatnonzero(np.diff(labelled) > CONTEXT)
        last = labelled[breaks[0]] if len(breaks) else labelled[-1]
        part = slice(max(0, labelled[0] - CONTEXT), last + 1)
        where = recording.where[part]
        shown, places = np.unique(where[where >= 0], return_inverse=True)
        remapped = np.full(len(where), -1, np.int32)
        remapped[where >= 0] = places
        found.append(replace(
            recording, frames=recording.frames[shown], where=remapped,
            **{name: getattr(recording, name)[part]
               for name in ("summaries", "reads", "taken", "labels", "weights", "hints")}))
        labelled = labelled[labelled > last]
    return found


def uncorrected(recording: Recording, commands: NDArray[np.float32]) -> Recording:
    """Label what nobody corrected with what the policy says there itself, and nothing else.

    Parameters
    ----------
    recording : Recording
        Of K updates, labelled where somebody helped.
    commands : ndarray, shape (K, 4)
        The policy's own, at the updates (``Trainer.commands``).
    """
    ends = np.cumsum(recording.summaries[:, -1], dtype=np.float64)
    helped = ends[recording.weights.any(1)]
    # What came after the end nobody knows: it may have ended by a contact.
    corrected = np.append(helped, ends[-1])
    free = corrected[np.searchsorted(corrected, ends)] - ends > BEFORE_S
    # At the update itself: no step leads there.
    return replace(
        recording, labels=np.repeat(commands[:, None], recording.labels.shape[1], 1),
        weights=np.repeat(free[:, None], recording.weights.shape[1], 1).astype(np.float32),
        taken=np.zeros_like(recording.taken))
