"""A policy in torch, for training: whole sequences, gradients, export to a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoders import Encoder
from lnn_ros.liquid.spec import CAMERA_PRESENT, PolicySpec
from lnn_ros.liquid.torch_cell import OPS, CellModule, nest
from lnn_ros.liquid.wiring import Wiring

CHANNEL_PACE = 10.0
"""How much faster a channel's scale and shift learn than a weight: there are few, of one size."""
ENCODER_CHUNK = 256
"""Frames per call of the encoder: small enough for the activations to stay in the cache."""
SPREAD_DELTA = 2.0
"""Errors beyond so many stated standard deviations count linearly."""


class EncoderModule(nn.Module):
    """An encoder with its numbers; frames go through in chunks."""

    def __init__(self, spec: Encoder, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        for name, value in spec.initialise(np.random.default_rng(seed)).items():
            parameter = nn.Parameter(torch.tensor(value, dtype=torch.float32))
            if parameter.ndim == 4:
                # Row-major pixels with channels last: about twice as fast on a CPU.
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            nest(self, name, parameter)
        self.in_bfloat16 = False
        """Compute in bfloat16, weights staying float32: for training, where it is faster."""
        self._channels: dict[str, tuple[Tensor, Tensor]] = {}

    def freeze_but_channels(self) -> list[Tensor]:
        """Let the encoder learn no more than a scale and a shift of every channel; return them.

        The layers are folded ones: they have no normalisation apart from their weights. Scaling
        and shifting what a layer's channels are before their rectifier does what that of a batch
        normalisation would, and is folded into the weights again (``weights``).

        Returns
        -------
        list of Tensor, shape (channels,)
            Zero at first: nothing is changed. A layer's channel y becomes
            ``(1 + CHANNEL_PACE a) y + CHANNEL_PACE b``.
        """
        self.freeze()
        for name, parameter in self.named_parameters():
            layer, _, kind = name.rpartition(".")
            if kind == "bias":
                self._channels[layer] = (torch.zeros_like(parameter, requires_grad=True),
                                         torch.zeros_like(parameter, requires_grad=True))
        return [one for pair in self._channels.values() for one in pair]

    def freeze(self) -> None:
        """Let it learn nothing more."""
        for one in (*self.parameters(), *(c for pair in self._channels.values() for c in pair)):
            one.requires_grad_(False)

    def weights(self) -> dict[str, Tensor]:
        """Its numbers by name, with what its channels have learned."""
        w: dict[str, Tensor] = dict(self.named_parameters())
        for layer, (scale, shift) in self._channels.items():
            by, weight = 1.0 + CHANNEL_PACE * scale, w[f"{layer}.weight"]
            w[f"{layer}.weight"] = weight * by.reshape(-1, *[1] * (weight.ndim - 1))
            w[f"{layer}.bias"] = w[f"{layer}.bias"] * by + CHANNEL_PACE * shift
        return w

    def forward(self, frames: Tensor, light: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Encode frames.

        Parameters
        ----------
        frames : Tensor of uint8, shape (N, H, W, C)
        light : tuple of 2 Tensor, optional
            Gain and offset (N, C) of the pixel values, for augmentation.

        Returns
        -------
        Tensor, shape (N, features)
        """
        w = self.weights()
        dtype = next(iter(w.values())).dtype
        out = []
        for start in range(0, len(frames), ENCODER_CHUNK):
            part = slice(start, start + ENCODER_CHUNK)
            pixels = frames[part].to(dtype)
            if light is not None:
                gain, offset = (a[part, None, None, :] for a in light)
                pixels = torch.addcmul(offset, pixels, gain)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bfloat16):
                out.append(self.spec.encode(OPS, w, pixels).to(dtype))
        return torch.cat(out)


class Affine(nn.Module):
    """A weight (in, out) and a bias (out,)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(weight.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight + bias``."""
        return x @ self.weight + self.bias


class Head(Affine):
    """The command's read-out and, where the policy states it, the spread's beside it."""

    def __init__(self, weight: Tensor, spread: bool) -> None:
        super().__init__(weight)
        # Even odds everywhere at first: the middle of the range, whatever is read.
        self.spread = Affine(torch.zeros_like(weight)) if spread else None


class TorchPolicy(nn.Module):
    """Encoder, core and head; parameters carry the names that the checkpoint stores."""

    def __init__(self, spec: PolicySpec, wiring: Wiring, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = EncoderModule(spec.encoder, seed)
        self.core = CellModule(spec.core, wiring, seed)
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(spec.core.read, 4, generator=generator) * 0.05
        self.head = Head(weight, spec.head.spread is not None)

    def inputs(
        self, frames: Tensor, summary: Tensor, light: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Core inputs of whole windows.

        Parameters
        ----------
        frames : Tensor of uint8, shape (B, T, H, W, C)
        summary : Tensor, shape (T, B, len(SUMMARY))
        light : tuple of 2 Tensor, optional
            Gain and offset (B * T, C) of the pixels.

        Returns
        -------
        Tensor, shape (T, B, inputs)
        """
        features = self.encoder(frames.flatten(0, 1), light)
        features = features.reshape(*frames.shape[:2], -1).transpose(0, 1)
        return self.spec.inputs(OPS, features, summary)

    def states(
        self, inputs: Tensor, summaries: Tensor, state: Tensor, keep: Tensor | None = None
    ) -> Tensor:
        """Run over sequences and return every state.

        Parameters
        ----------
        inputs : Tensor, shape (T, B, inputs)
            Of the core: ``inputs()``.
        summaries : Tensor, shape (T, B, len(SUMMARY))
        state : Tensor, shape (B, state_size)
            After what came before.
        keep : Tensor of bool, shape (T, B), optional
            False where an episode begins: the state before it is dropped.

        Returns
        -------
        Tensor, shape (T, B, state_size)
            After each observation.
        """
        present = None if self.spec.core.memory else summaries[..., CAMERA_PRESENT] > 0
        dt = self.spec.elapsed(summaries[..., -1])
        return self.core.states(inputs, dt, state, present, keep)

    def onward(self, states: Tensor, reads: Tensor, taken: Tensor) -> Tensor:
        """Activities at the instants at which the policy is asked, no frame having come.

        Parameters
        ----------
        states : Tensor, shape (..., state_size)
            After an update.
        reads : Tensor, shape (..., J, len(SUMMARY))
            Summaries of the steps from there to the instant; broadcast with the states.
        taken : Tensor of bool, shape (..., J)
            Which of the steps there are.
        """
        spec = self.spec
        w = spec.core.derived(OPS, self.core.weights())
        lead = torch.broadcast_shapes(states.shape[:-1], reads.shape[:-2])
        flat = states.expand(*lead, -1).flatten(0, -2)
        for j in range(reads.shape[-2]):
            # Few instants need the later steps: only their rows are computed.
            rows = taken[..., j].expand(lead).flatten().nonzero()[:, 0]
            summary = reads[..., j, :].expand(*lead, -1).flatten(0, -2)[rows]
            features = summary.new_zeros(len(rows), spec.encoder.features)
            later = spec.core.predict(OPS, w, flat[rows], spec.elapsed(summary[:, -1:]))
            if spec.core.memory:
                later = spec.core.update(OPS, w, later, spec.inputs(OPS, features, summary))
            flat = flat.index_copy(0, rows, later)
        return spec.core.activity(OPS, flat.unflatten(0, lead))

    def read(self, activity: Tensor, clip: bool = True) -> Tensor:
        """Commands (..., 4) of activities (..., N)."""
        return self.spec.head.read(OPS, self.head(self._read(activity)), clip)

    def spread(self, activity: Tensor) -> Tensor:
        """Standard deviations (..., 4) of the commands of activities (..., N), which are detached.

        Raises
        ------
        LnnError
            When the policy states none.
        """
        if self.head.spread is None:
            raise LnnError("head.spread is null: this policy does not state how sure it is")
        return self.spec.head.deviation(OPS, self.head.spread(self._read(activity.detach())))

    def spread_loss(self, activity: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """How badly the stated spread fits the errors of the command: what trains it.

        With u the error in stated standard deviations s,

            mean of  huber(u) / b + log s,     b = erf(2 / sqrt 2),

        the negative log-likelihood of Huber's density (normal within 2 s, exponential beyond), so
        that a wild label weighs by its size and not by its square. Where the errors are normal its
        minimum is at their true standard deviation, as of the plain Gaussian one: there
        ``E[u huber'(u)] = P(|u| < 2)`` (Stein's identity), which is b. Source: Huber, "Robust
        estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

        Activities and commands are detached: the loss moves ``head.spread`` only and does not
        disturb the command.

        Parameters
        ----------
        activity : Tensor, shape (..., N)
        labels : Tensor, shape (..., 4)
            The teacher's commands.
        weights : Tensor, shape (...)
            Of the labels; zero where there is none.

        Returns
        -------
        Tensor, shape ()
            Mean over labels, sum over outputs.
        """
        spread = self.spread(activity)
        with torch.no_grad():
            error = labels - self.read(activity)
        u = error / spread
        huber = functional.huber_loss(u, torch.zeros_like(u), reduction="none", delta=SPREAD_DELTA)
        each = huber / math.erf(SPREAD_DELTA / math.sqrt(2.0)) + torch.log(spread)
        return (each.sum(-1) * weights).sum() / weights.sum().clamp(min=1e-9)

    def _read(self, activity: Tensor) -> Tensor:
        return activity[..., activity.shape[-1] - self.spec.core.read :]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Tensors for a checkpoint; forbidden weights are stored as zeros."""
        arrays: dict[str, NDArray[Any]] = {
            # A copy, in row-major order whatever the parameter's layout is.
            name: np.array(p.detach().to(torch.float32).numpy(), order="C")
            for name, p in self.named_parameters()
        }
        for name, weight in self.encoder.weights().items():
            arrays[f"encoder.{name}"] = np.array(weight.detach().to(torch.float32).numpy(),
                                                 order="C")
        for name, weight in self.core.weights().items():
            arrays[f"core.{name}"] = weight.detach().to(torch.float32).numpy().copy()
        arrays.update(self.core.wiring.masks())
        return arrays

    @staticmethod
    def from_arrays(spec: PolicySpec, arrays: Mapping[str, NDArray[Any]]) -> TorchPolicy:
        """Build from a checkpoint's tensors."""
        layers = tuple((layer.name, layer.recurrent) for layer in spec.core.layers)
        policy = TorchPolicy(spec, Wiring.from_masks(layers, arrays))
        with torch.no_grad():
            for name, parameter in policy.named_parameters():
                parameter.copy_(torch.from_numpy(np.array(arrays[name])))
        return policy
