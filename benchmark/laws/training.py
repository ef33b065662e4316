"""The short training after which the laws are measured again."""

from __future__ import annotations

import numpy as np
import torch

from laws.ours import INPUTS
from laws.peers import Subject


def train(subject: Subject, seed: int, rounds: int = 80) -> float:
    """Learn what a signal was half a second ago, and its mean over a second; return the loss."""
    rng = np.random.default_rng((seed, 3))
    optimiser = torch.optim.Adam(subject.parameters(), 1e-2)
    losses = []
    for _ in range(rounds):
        dt = rng.exponential(0.1, 48) + 0.01
        t = np.cumsum(dt)[None, :, None]
        f, p = rng.uniform(0.1, 0.6, (16, 1, INPUTS)), rng.uniform(0, 6.28, (16, 1, INPUTS))
        u = np.sin(2 * np.pi * f * t + p)
        ago = np.sin(2 * np.pi * f * (t - 0.5) + p)[..., 0]
        mean = (np.cos(2 * np.pi * f * (t - 1) + p) - np.cos(2 * np.pi * f * t + p)) / (
            2 * np.pi * f
        )
        wanted = torch.tensor(np.stack([ago, mean[..., 1]], -1))
        optimiser.zero_grad()
        y = subject.train_step(torch.tensor(u), torch.tensor(dt)[None])
        loss = (y - wanted)[:, 10:].square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(subject.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    subject.freeze()
    return float(np.mean(losses[-10:]))
