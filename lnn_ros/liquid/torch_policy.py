"""The same network in torch, for training: whole sequences, gradients, export to a checkpoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lnn_ros.errors import LnnError
from lnn_ros.liquid.spec import EncoderSpec, PolicySpec
from lnn_ros.liquid.wiring import LAYERS, Wiring

ENCODER_CHUNK = 256
"""Frames per convolution call: small enough for the activations to stay in the cache."""


class ConvEncoder(nn.Module):
    """Frames to features, in chunks whose activations stay in the cache."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        shapes = spec.shapes()
        for i, layer in enumerate(spec.layers):
            conv = nn.Conv2d(
                shapes[i][2], layer.channels, layer.kernel, layer.stride, layer.padding
            )
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            # Row-major pixels with channels last: about twice as fast on a CPU.
            conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
            self.add_module(f"conv{i}", conv)
        self.linear = nn.Linear(math.prod(shapes[-1]), spec.features)
        self.in_bfloat16 = False
        """Compute in bfloat16, weights staying float32: for training, where it is faster."""

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
        scale, offset = self.spec.pixel_scale, self.spec.pixel_offset
        out = []
        for start in range(0, len(frames), ENCODER_CHUNK):
            part = slice(start, start + ENCODER_CHUNK)
            # A permuted view of row-major pixels is channels-last already.
            x = frames[part].permute(0, 3, 1, 2).to(self.linear.weight.dtype)
            if light is None:
                x = x.mul_(scale).add_(offset)
            else:
                gain, bias = (a[part, :, None, None] for a in light)
                x = torch.addcmul(bias * scale + offset, x, gain * scale)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bfloat16):
                for i in range(len(self.spec.layers)):
                    x = functional.relu(getattr(self, f"conv{i}")(x))
                out.append(functional.relu(self.linear(x.flatten(1))).to(self.linear.weight.dtype))
        return torch.cat(out)


class Affine(nn.Module):
    """A weight (in, out) and a bias (out,)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(weight.shape[1]))


class FlowLayer(nn.Module):
    """Both gates of one layer, and the mask of its allowed connections."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        # A buffer, so that no optimiser can open a forbidden connection.
        self.register_buffer("mask", mask)
        bound = math.sqrt(3.0 / float(mask.sum(0).mean()))
        shape = mask.shape
        self.target = Affine(torch.empty(shape).uniform_(-bound, bound) * mask)
        self.rate = Affine(torch.empty(shape).uniform_(-0.3 * bound, 0.3 * bound) * mask)

    def gates(self) -> tuple[Tensor, Tensor]:
        """Masked weights and biases of both gates, side by side."""
        weight = torch.cat([self.target.weight * self.mask, self.rate.weight * self.mask], 1)
        return weight, torch.cat([self.target.bias, self.rate.bias])


class FlowCore(nn.Module):
    """The flow cell over sequences; equations in ``lnn_ros.liquid.engine``.

    The state is a tensor (3, B, N): activities, asymptotes, rates.
    """

    def __init__(self, spec: PolicySpec, wiring: Wiring | None) -> None:
        super().__init__()
        if wiring is None:
            raise LnnError("a flow core was asked for without a wiring, expected one")
        self.spec = spec.core
        self.sizes = spec.core.layers
        self.log_min = math.log(spec.core.rate_min)
        self.log_span = math.log(spec.core.rate_max / spec.core.rate_min)
        self.inter, self.command, self.motor = (
            FlowLayer(torch.tensor(wiring.masks()[name], dtype=torch.float32)) for name in LAYERS
        )
        # Time constants: sensing and acting fast, the command neurons spread to seconds.
        self.inter.rate.bias.data += 2.0
        self.command.rate.bias.data += torch.linspace(-1.0, 2.0, self.sizes[1])
        self.motor.rate.bias.data += 2.0

    def layer(self, name: str) -> FlowLayer:
        """Layer of one of the names ``LAYERS``."""
        return {"inter": self.inter, "command": self.command, "motor": self.motor}[name]

    @property
    def state_size(self) -> int:
        """Number of neurons."""
        return sum(self.sizes)

    def initial(self, batch: int) -> Tensor:
        """Zero state, shape (3, batch, N)."""
        return torch.zeros(3, batch, self.state_size, dtype=self.inter.target.bias.dtype)

    def _flow(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        target, rate = pre.chunk(2, -1)
        return torch.tanh(target), torch.exp(self.log_min + self.log_span * torch.sigmoid(rate))

    @staticmethod
    def _scan(
        x: Tensor, before: Tensor, g: Tensor, r: Tensor, dt: Tensor, keep: Tensor
    ) -> list[Tensor]:
        """Activities of a layer whose gates are known for all times: an affine recurrence."""
        gain = -torch.expm1(-r * dt)
        g_before = torch.cat([before[1:2], g[:-1]]) * keep
        r_before = torch.cat([before[2:3], r[:-1]]) * keep
        decay = torch.exp(-r_before * dt)
        a = (1 - gain) * decay * keep
        c = (1 - gain) * g_before * (1 - decay) + gain * g
        out = []
        for a_t, c_t in zip(a.unbind(0), c.unbind(0), strict=True):
            x = torch.addcmul(c_t, a_t, x)
            out.append(x)
        return out

    def forward(self, inputs: Tensor, dt: Tensor, keep: Tensor, state: Tensor) -> Tensor:
        """States after each update.

        Parameters
        ----------
        inputs : Tensor, shape (T, B, sensory)
        dt : Tensor, shape (T, B)
            Seconds since the observation before.
        keep : Tensor, shape (T, B)
            0 where an episode begins (the state before it is dropped), else 1.
        state : Tensor, shape (3, B, N)
            After the last update before the sequence.

        Returns
        -------
        Tensor, shape (3, T, B, N)
        """
        n_inter = self.sizes[0]
        dt, keep = dt[..., None], keep[..., None]
        s_inter, s_command, s_motor = state.split(list(self.sizes), -1)

        weight, bias = self.inter.gates()
        g_inter, r_inter = self._flow(inputs @ weight + bias)
        x_inter = torch.stack(self._scan(s_inter[0], s_inter, g_inter, r_inter, dt, keep))

        weight, bias = self.command.gates()
        pre = x_inter @ weight[:n_inter] + bias
        recurrent = weight[n_inter:]
        x, g, r = s_command.unbind(0)
        xs, gs, rs = [], [], []
        for pre_t, dt_t, keep_t in zip(pre.unbind(0), dt.unbind(0), keep.unbind(0), strict=True):
            x = (g + (x - g) * torch.exp(-r * dt_t)) * keep_t
            g, r = self._flow(torch.addmm(pre_t, x, recurrent))
            x = g + (x - g) * torch.exp(-r * dt_t)
            xs.append(x)
            gs.append(g)
            rs.append(r)
        x_command = torch.stack(xs)

        weight, bias = self.motor.gates()
        g_motor, r_motor = self._flow(x_command @ weight + bias)
        x_motor = torch.stack(self._scan(s_motor[0], s_motor, g_motor, r_motor, dt, keep))
        return torch.stack(
            [
                torch.cat([x_inter, x_command, x_motor], -1),
                torch.cat([g_inter, torch.stack(gs), g_motor], -1),
                torch.cat([r_inter, torch.stack(rs), r_motor], -1),
            ]
        )

    @staticmethod
    def predict(states: Tensor, dt: Tensor) -> Tensor:
        """Activities ``dt`` seconds after the last update; broadcasts over leading axes."""
        x, g, r = states.unbind(0)
        return g + (x - g) * torch.exp(-r * dt[..., None])


class FeedforwardCore(nn.Module):
    """The control without memory, behind the same interface; state (1, B, hidden)."""

    def __init__(self, spec: PolicySpec, wiring: Wiring | None) -> None:
        super().__init__()
        self.sizes = spec.core.layers
        size = spec.sensory
        for i, units in enumerate(self.sizes):
            scale = math.sqrt(3.0 / size)
            self.add_module(f"hidden{i}", Affine(torch.empty(size, units).uniform_(-scale, scale)))
            size = units

    def initial(self, batch: int) -> Tensor:
        return torch.zeros(1, batch, sum(self.sizes))

    def forward(self, inputs: Tensor, dt: Tensor, keep: Tensor, state: Tensor) -> Tensor:
        x, out = inputs, []
        for i in range(len(self.sizes)):
            layer = getattr(self, f"hidden{i}")
            x = torch.tanh(x @ layer.weight + layer.bias)
            out.append(x)
        return torch.cat(out, -1)[None]

    @staticmethod
    def predict(states: Tensor, dt: Tensor) -> Tensor:
        return states[0].expand(*torch.broadcast_shapes(states[0].shape[:-1], dt.shape), -1)


CORES: dict[str, type[FlowCore] | type[FeedforwardCore]] = {
    "flow": FlowCore,
    "feedforward": FeedforwardCore,
}


class TorchPolicy(nn.Module):
    """Encoder, core and head; parameters carry the names that the checkpoint stores."""

    scale: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, spec: PolicySpec, wiring: Wiring | None) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = ConvEncoder(spec.encoder)
        self.core: FlowCore | FeedforwardCore = CORES[spec.core.kind](spec, wiring)
        self.head = Affine(torch.randn(spec.core.read_size, 4) * 0.05)
        for name, values in (
            ("scale", spec.summary_scale),
            ("offset", spec.summary_offset),
            ("low", spec.head.low),
            ("high", spec.head.high),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

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
        Tensor, shape (T, B, sensory)
        """
        features = self.encoder(frames.flatten(0, 1), light)
        features = features.reshape(*frames.shape[:2], -1).transpose(0, 1)
        limit = self.spec.summary_limit
        rest = (summary * self.scale + self.offset).clamp(-limit, limit)
        return torch.cat([features, rest], -1)

    def read(self, activity: Tensor, clip: bool = True) -> Tensor:
        """Commands (..., 4) of activities (..., N)."""
        y = activity[..., -self.spec.core.read_size :] @ self.head.weight + self.head.bias
        half = self.spec.head.headroom * (self.high - self.low) / 2
        command = (self.high + self.low) / 2 + half * torch.tanh(y)
        return torch.minimum(torch.maximum(command, self.low), self.high) if clip else command

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Tensors for a checkpoint; forbidden weights are stored as zeros."""
        arrays: dict[str, NDArray[Any]] = {
            name: p.detach().to(torch.float32).contiguous().numpy().copy()
            for name, p in self.named_parameters()
        }
        if isinstance(self.core, FlowCore):
            for name in LAYERS:
                mask = self.core.layer(name).mask.numpy().astype(np.uint8)
                arrays[f"wiring.{name}"] = mask
                for gate in ("target", "rate"):
                    arrays[f"core.{name}.{gate}.weight"] *= mask
        return arrays

    @staticmethod
    def from_arrays(spec: PolicySpec, arrays: dict[str, NDArray[Any]]) -> TorchPolicy:
        """Build from a checkpoint's tensors."""
        wiring = None
        if spec.core.kind == "flow":
            wiring = Wiring(*(arrays[f"wiring.{name}"] for name in LAYERS))
        policy = TorchPolicy(spec, wiring)
        with torch.no_grad():
            for name, parameter in policy.named_parameters():
                parameter.copy_(torch.from_numpy(np.array(arrays[name])))
        return policy
