"""One policy in training: loss, optimiser, and a state on disk from which it goes on exactly."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from lnn_ros.errors import LnnError
from lnn_ros.learning.dataset import SCALE, Batch, Glimpser, Lanes, Recording
from lnn_ros.learning.hints import COLUMNS
from lnn_ros.liquid.checkpoint import Checkpoint
from lnn_ros.liquid.spec import CAMERA_PRESENT, PolicySpec
from lnn_ros.liquid.torch_cell import OPS
from lnn_ros.liquid.torch_policy import CHANNEL_PACE, TorchPolicy
from lnn_ros.liquid.wiring import Wiring

HUBER = 0.5
SLOW_WEIGHT = 1.5
"""Extra weight of instants at which the expert flies slowly: near obstacles and the target."""
HINT_WEIGHT = 0.5
NEAR_SCALE, WHERE_SCALE = 0.17, (0.5, 0.2)
"""Spread of the hints: nearness of obstacles; sine and nearness of the target."""


class Trainer:
    """A policy and its optimiser.

    Parameters
    ----------
    spec : PolicySpec
    wiring : Wiring
    seed : int
        Of the initial weights and of everything random in training.
    bfloat16 : bool
        Compute the encoder in bfloat16: about 1.5 times as fast on a CPU that has it.
    decay : float
        Share of every weight that is lost in a step, per learning rate.
    """

    def __init__(
        self,
        spec: PolicySpec,
        wiring: Wiring,
        seed: int,
        bfloat16: bool = False,
        decay: float = 0.0,
    ) -> None:
        torch.manual_seed(seed)
        self._prepare(TorchPolicy(spec, wiring, seed), seed, bfloat16, decay)

    @staticmethod
    def of(checkpoint: Checkpoint, seed: int, hints: bool = False, bfloat16: bool = False,
           decay: float = 0.0) -> Trainer:
        """Return one that goes on from a policy, with an optimiser that knows nothing yet.

        What reads the hints is not shipped, and begins at random: without ``hints`` it learns
        commands alone. The rest is as of the class.
        """
        found = Trainer.__new__(Trainer)
        torch.manual_seed(seed)
        policy = TorchPolicy.from_arrays(checkpoint.spec, checkpoint.arrays)
        found._prepare(policy, seed, bfloat16, decay)
        found._hint_weight = HINT_WEIGHT if hints else 0.0
        return found

    def _prepare(self, policy: TorchPolicy, seed: int, bfloat16: bool, decay: float) -> None:
        spec = policy.spec
        self.policy = policy
        self.policy.encoder.in_bfloat16 = bfloat16
        self._seed = seed
        read = spec.core.read
        # Linear read-outs of the truth from the features and from the memory; not shipped.
        self._seen = nn.Linear(spec.encoder.features, COLUMNS + 3)
        self._glance = nn.Linear(spec.encoder.features, 4)
        self._known = nn.Linear(read, COLUMNS + 2)
        self._parameters: list[Tensor] = [
            *self.policy.parameters(),
            *self._seen.parameters(),
            *self._glance.parameters(),
            *self._known.parameters(),
        ]
        self._optimiser = torch.optim.AdamW(self._parameters, weight_decay=decay)
        self._scale = torch.tensor(SCALE)
        self._where = torch.tensor(WHERE_SCALE)
        self._hint_weight = HINT_WEIGHT
        self._anchor: list[tuple[Tensor, Tensor, float]] = []

    def hold(self, penalty: float) -> None:
        """Let weights be drawn to what they are now, but for the encoder's.

        The loss grows by ``penalty`` times the mean square of how far each is from there, by the
        root mean square of its tensor (L2-SP: Li, Grandvalet and Davoine, ICML 2018).
        """
        tensors = [p for name, p in self.policy.named_parameters()
                   if not name.startswith("encoder.")]
        count = sum(p.numel() for p in tensors)
        self._anchor = [
            (p, p.detach().clone(), penalty / count / max(float(p.detach().square().mean()), 1e-8))
            for p in tensors
        ] if penalty else []

    def adapt_channels(self, penalty: float) -> None:
        """Let a scale and a shift of every channel be all that the encoder learns.

        It does so in epochs without ``features``; both are drawn to nothing by ``penalty``, as
        weights are by ``hold``.
        """
        channels = self.policy.encoder.freeze_but_channels()
        self._parameters += channels
        self._optimiser.add_param_group({"params": channels})
        count = sum(p.numel() for p in channels)
        self._anchor += [(p, torch.zeros_like(p), penalty * CHANNEL_PACE ** 2 / count)
                         for p in channels]

    def take_encoder(self, checkpoint: Checkpoint, source: str) -> None:
        """Start from the encoder of another policy.

        Raises
        ------
        LnnError
            When it is of another architecture.
        """
        if checkpoint.spec.encoder != self.policy.spec.encoder:
            raise LnnError(f"{source}: another encoder found, expected {self.policy.spec.encoder}")
        with torch.no_grad():
            for name, parameter in self.policy.encoder.named_parameters():
                parameter.copy_(torch.from_numpy(checkpoint.arrays[f"encoder.{name}"]))

    def features(self, sequence: Recording) -> NDArray[np.float32]:
        """Features (2, frames, F) of a sequence's frames, as they are and mirrored."""
        frames = torch.from_numpy(sequence.frames)
        with torch.no_grad():
            both = [self.policy.encoder(f).numpy() for f in (frames, frames.flip(2))]
        return np.stack(both)

    def commands(self, sequence: Recording) -> NDArray[np.float32]:
        """Commands (K, 4) that the policy itself gives at the updates of a sequence."""
        policy, spec = self.policy, self.policy.spec
        seen = torch.from_numpy(self.features(sequence)[0])
        # Where there is no frame the spec leaves features out; some have to stand there.
        shown = seen[torch.from_numpy(np.maximum(sequence.where, 0)).long()]
        summaries = torch.from_numpy(sequence.summaries)[:, None]
        with torch.no_grad():
            inputs = spec.inputs(OPS, shown[:, None], summaries)
            states = policy.states(inputs, summaries, policy.core.initial(1))
            return np.asarray(policy.read(spec.core.activity(OPS, states))[:, 0].numpy())

    def epoch(
        self,
        sequences: Sequence[Recording],
        key: tuple[int, ...],
        rates: tuple[float, float],
        lanes: int,
        window: int,
        features: Sequence[NDArray[np.float32]] | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> float:
        """Go through all sequences once; return the mean command loss.

        The learning rate moves evenly between the two ``rates``. ``key`` names the epoch and
        seeds its order. ``lanes`` sequences make a batch, of ``window`` frames each. With
        ``features`` the encoder stays as it is, and is not run. ``after_step`` is called after
        each batch.
        """
        rng = np.random.default_rng((self._seed, *key))
        reader = Lanes(sequences, lanes, window, rng, features=features)
        state = self.policy.core.initial(lanes)
        losses = []
        for step, batch in enumerate(reader):
            for group in self._optimiser.param_groups:
                group["lr"] = rates[0] + (rates[1] - rates[0]) * step / reader.steps
            self._optimiser.zero_grad(set_to_none=True)
            loss, hints, state = self._loss(batch, state.detach(), rng)
            held = sum((w * (p - p0).square().sum() for p, p0, w in self._anchor),
                       torch.zeros(()))
            (loss + self._hint_weight * hints + held).backward()
            nn.utils.clip_grad_norm_(self._parameters, 1.0)
            self._optimiser.step()
            losses.append(float(loss.detach()))
            if after_step is not None:
                after_step()
        return float(np.mean(losses))

    def loss(
        self,
        sequences: Sequence[Recording],
        lanes: int = 8,
        window: int = 16,
        features: Sequence[NDArray[np.float32]] | None = None,
    ) -> float:
        """Mean command loss without learning, augmentation or mirroring; see ``epoch``."""
        rng = np.random.default_rng(0)
        reader = Lanes(sequences, lanes, window, rng, mirror=False, features=features)
        state = self.policy.core.initial(lanes)
        losses = []
        with torch.no_grad():
            for batch in reader:
                loss, _, state = self._loss(batch, state, None)
                losses.append(float(loss))
        return float(np.mean(losses))

    def _loss(
        self, batch: Batch, state: Tensor, rng: np.random.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, lanes = batch.keep.shape
        summaries, frames = torch.from_numpy(batch.summaries), torch.from_numpy(batch.frames)
        if frames.ndim == 3:  # features
            inputs = self.policy.spec.inputs(OPS, frames.transpose(0, 1), summaries)
        else:
            light = None
            if rng is not None:  # every lane sees its window in another light
                gain, shade = _light(rng, lanes)
                light = gain.repeat_interleave(steps, 0), shade.repeat_interleave(steps, 0)
            inputs = self.policy.inputs(frames, summaries, light)
        keep = torch.from_numpy(batch.keep) > 0
        states = self.policy.states(inputs, summaries, state, keep)
        activity = self.policy.onward(
            states[:, :, None], torch.from_numpy(batch.reads), torch.from_numpy(batch.taken)
        )
        labels = torch.from_numpy(batch.labels)
        error = (self.policy.read(activity, clip=False) - labels) / self._scale
        each = functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=HUBER)
        slow = 1.0 - labels[..., 0] / 1.4
        weights = torch.from_numpy(batch.weights) * (1.0 + SLOW_WEIGHT * slow.clamp(0.0, 1.0))
        loss = (each.sum(-1) * weights).sum() / weights.sum().clamp(min=1.0)
        seen = summaries[..., CAMERA_PRESENT] > 0
        return loss, self._hint_loss(batch, inputs, states, seen), states[-1]

    def _hint_loss(self, batch: Batch, inputs: Tensor, states: Tensor, there: Tensor) -> Tensor:
        """Tell the hints from the features, where a frame is there, and from the memory."""
        truth = torch.from_numpy(batch.hints)
        told = _told(truth)
        if not told.any():
            return torch.zeros(())
        core = self.policy.spec.core
        activity = core.activity(OPS, states)
        known = self._known(activity[..., activity.shape[-1] - core.read :])
        features = inputs[..., : self.policy.spec.encoder.features]
        seen = self._sight_loss(features[there], truth[there])
        known, truth = known[told], truth[told]
        nearness = (known[..., :COLUMNS] - truth[..., :COLUMNS] / NEAR_SCALE).square().mean()
        where = (known[..., COLUMNS:] - truth[..., COLUMNS + 2 :] / self._where).square().mean()
        return seen + nearness + where

    def _sight_loss(self, features: Tensor, truth: Tensor) -> Tensor:
        told = _told(truth)
        if not told.any():
            return torch.zeros(())
        seen, truth = self._seen(features[told]), truth[told]
        visible = truth[..., COLUMNS]
        nearness = (seen[..., :COLUMNS] - truth[..., :COLUMNS] / NEAR_SCALE).square().mean()
        # Direction without its cosine: the sine tells the side, the nearness how far.
        where = (seen[..., COLUMNS + 1 :] - truth[..., COLUMNS + 2 :] / self._where).square()
        sight = functional.binary_cross_entropy_with_logits(seen[..., COLUMNS], visible)
        return nearness + (where * visible[..., None]).mean() + sight

    def look(
        self,
        sequences: Sequence[Recording],
        key: tuple[int, ...],
        frames: int,
        batch: int,
        rate: float,
    ) -> float:
        """Teach the encoder alone to tell hints and labels, from single frames in random order.

        Frames of a window are alike; these are not, and the encoder learns several times faster.

        Parameters
        ----------
        sequences : sequence of Recording
        key : tuple of int
            Seeds the order.
        frames : int
            Frames to look at, altogether.
        batch : int
            Frames per step.
        rate : float
            Learning rate, annealed to zero.

        Returns
        -------
        float
            Mean loss of the last tenth.
        """
        rng = np.random.default_rng((self._seed, *key))
        parameters = [*self.policy.encoder.parameters(), *self._seen.parameters()]
        parameters += self._glance.parameters()
        optimiser = torch.optim.Adam(parameters, lr=rate)
        glimpser = Glimpser(sequences)
        steps = max(1, frames // batch)
        losses = []
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50) * cosine(step / steps)
            seen = glimpser.draw(rng, batch)
            features = self.policy.encoder(torch.from_numpy(seen.frames), _light(rng, batch))
            loss = self._sight_loss(features, torch.from_numpy(seen.hints))
            error = self._glance(features) - torch.from_numpy(seen.labels) / self._scale
            each = functional.huber_loss(error, torch.zeros_like(error), reduction="none")
            loss = loss + (each.mean(1) * torch.from_numpy(seen.weights)).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses[-max(1, steps // 10) :]))

    def save(self, file: Path, progress: dict[str, Any]) -> None:
        """Write weights, optimiser and ``progress``, atomically."""
        tensors = {}
        for i, parameter in enumerate(self._parameters):
            tensors[f"p{i}"] = parameter.detach().contiguous()
            for key, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"{key}{i}"] = value.detach().clone().contiguous()
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        save_file(tensors, part, metadata={"progress": json.dumps(progress)})
        part.replace(file)

    def load(self, file: Path) -> dict[str, Any]:
        """Go on from ``save``; return its progress.

        Raises
        ------
        LnnError
            When the file is damaged or of another architecture.
        """
        try:
            with safe_open(file, "pt") as saved:
                tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
                progress = json.loads(saved.metadata()["progress"])
            with torch.no_grad():
                for i, parameter in enumerate(self._parameters):
                    parameter.copy_(tensors.pop(f"p{i}"))
                    self._optimiser.state[parameter] = {
                        key: tensors[f"{key}{i}"].clone()
                        for key in ("step", "exp_avg", "exp_avg_sq")
                        if f"{key}{i}" in tensors
                    }
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise LnnError(f"{file}: no training state of this policy ({error})") from None
        return dict(progress)


def _told(truth: Tensor) -> Tensor:
    """Which hints (..., HINTS) there are: on a robot nobody knows them, and they are NaN."""
    return ~truth[..., 0].isnan()


def _light(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Draw gains and offsets (count, 3) of pixel values: brightness and tint."""
    gain = rng.uniform(0.8, 1.2, (count, 1)) * rng.uniform(0.93, 1.07, (count, 3))
    shade = rng.uniform(-12.0, 12.0, (count, 1)) + np.zeros((1, 3))
    return torch.from_numpy(gain.astype(np.float32)), torch.from_numpy(shade.astype(np.float32))


def cosine(done: float, floor: float = 0.02) -> float:
    """Share of the learning rate, from 1 to ``floor``, when ``done`` (0 to 1) is over."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2
