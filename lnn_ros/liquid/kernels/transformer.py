"""The transformer over whole sequences: tokens together, attention in bands of one window.

Steps without an observation have no token. So the tokens of each sequence are first put together,
in order; the sums run over these; and each step then looks up the newest token it knows. A token
hears the tokens of its own episode that are among the last K, itself included. What the state
holds are the tokens before the first step; slots of it that no sequence fills are not computed.

A weight of zero does not keep a NaN out of a sum. So tokens that are not finite are taken out
before any product, and what hears them is marked: it becomes NaN at the end, where the loop has one
too. Nothing before them, and nothing after their window, is touched, forward or backward.

Plain torch, which differentiates it: not bound to a device, to a type or to numba.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lnn_ros.liquid.cells.transformer import EPSILON, STEEPEST

if TYPE_CHECKING:
    from lnn_ros.liquid.cells.transformer import Transformer


_Part = tuple[Tensor, Tensor]
"""Something of tokens: of those in the state (B, K, size), and of new ones (B, J, size)."""


class _Tokens(NamedTuple):
    """When tokens come, and what each step knows of them: J tokens of B sequences in T steps.

    Attributes
    ----------
    now : Tensor of float64, shape (B, T)
        Time of each step; the last observation before the first step has time zero.
    times : Tensor of float64, shape (B, K + J)
        Of the tokens that are kept, then of the new ones.
    source : Tensor of int64, shape (B, J), or None
        The step of each token; behind a sequence's last token, any. None: token j is of step j.
    known : Tensor of int64, shape (B, T), or None
        Number of new tokens up to each step. None: one more each step, all of one episode.
    episode : Tensor of int64, shape (B, K + J)
        Of each token; that of the state's is 0. Empty where all are of one.
    number, begin : Tensor, shape (B, T)
        Of each step, the number of its episode and the time at which that began. Empty likewise.
    """

    now: Tensor
    times: Tensor
    source: Tensor | None
    known: Tensor | None
    episode: Tensor
    number: Tensor
    begin: Tensor


def _find(
    cell: Transformer, dt: Tensor, state: Tensor, present: Tensor | None, keep: Tensor | None
) -> _Tokens:
    """Count the tokens and tell their times; ``dt`` and the masks are (B, T)."""
    # In float64, for an age is a difference of times.
    now = state[:, -1:].double() + dt.double().cumsum(1)
    source, known = None, None
    episode = number = begin = dt.new_zeros(0)
    new = now
    if present is not None:
        known = present.cumsum(1)
        # Steps with a token come first, each in its order.
        most = max(1, int(known[:, -1].max()))
        source = torch.argsort((~present).to(torch.uint8), dim=1, stable=True)[:, :most]
        new = now.gather(1, source)
    if keep is not None:
        steps = torch.arange(dt.shape[1], device=dt.device)
        if known is None:
            known = (steps + 1).expand(dt.shape)
        number = (~keep).cumsum(1)
        at = torch.where(keep, -1, steps).cummax(1).values
        begin = torch.where(at < 0, 0.0, (now - dt.double()).gather(1, at.clamp(min=0)))
        episode = number if source is None else number.gather(1, source)
        episode = torch.cat([episode.new_zeros(len(dt), cell.window), episode], 1)
    times = torch.cat([-state[:, cell.where("token_age")].double(), new], 1)
    return _Tokens(now, times, source, known, episode, number, begin)


def sequence(
    cell: Transformer,
    w: Mapping[str, Tensor],
    inputs: Tensor,
    dt: Tensor,
    state: Tensor,
    present: Tensor | None,
    keep: Tensor | None,
    whole: bool,
) -> list[Tensor]:
    """Return the state's parts after each step, as ``Transformer.sequence`` says."""
    batch, n, half = dt.shape[1], cell.units, cell.units // 2
    masks = (None if mask is None else mask.expand(dt.shape).t() for mask in (present, keep))
    tokens = _find(cell, dt.t(), state, *masks)

    def old(part: str) -> Tensor:
        """What was kept: (B, K, size)."""
        return state[:, cell.where(part)].reshape(batch, cell.window, -1)

    filled = old("filled"), dt.new_ones(batch, tokens.times.shape[1] - cell.window, 1)
    # Slots that are empty in all sequences lie before the others, and are not heard.
    empty = 0 if state.requires_grad else int((filled[0] == 0).all(0).sum())
    angle = _angle(cell, tokens.times[:, empty:]).to(inputs.dtype)
    cos, sin = angle.cos(), angle.sin()
    heard = _heard(cell, tokens, _joined(filled)[..., 0], empty)
    x, kept = inputs.transpose(0, 1), list[_Part]()
    if tokens.source is not None:
        x = x.gather(1, tokens.source[..., None].expand(-1, -1, x.shape[2]))
    y = x @ w["token.weight"] + w["token.bias"]
    bad: Tensor | None = None
    # One sum tells whether all is well; where it overflows, looking closer does no harm.
    if not bool(torch.isfinite(y.detach().sum() + state.detach().sum())):
        bad = ~torch.isfinite(y.detach()).all(-1)
        y = _without(x, bad) @ w["token.weight"] + w["token.bias"]
    new = slice(cell.window - empty, None)
    for b in range(cell.blocks):
        name = f"blocks.{b}"
        z = _norm(y, w[f"{name}.attend.gain"])
        three = [w[f"{name}.{part}.weight"] for part in ("query", "key", "value")]
        query, key, value = (z @ torch.cat(three, 1)).split(n, -1)
        parts = [
            (old(f"key_a_{b}"), key[..., :half]),
            (old(f"key_b_{b}"), key[..., half:]),
            (old(f"value_{b}"), value),
        ]
        kept += [(before, _marked(after, bad)) for before, after in parts]
        if bad is not None:
            lost = ~torch.isfinite(torch.cat([before for before, _ in parts], -1)).all(-1)
            parts = [(_without(before, lost), after) for before, after in parts]
            bad = _hearing(cell, torch.cat([lost[:, empty:], bad], 1), bad.shape[1], heard)
        key_a, key_b, value = (_joined(part, empty) for part in parts)
        asked = _turned(cell, query[..., :half], query[..., half:], cos[:, new], sin[:, new])
        mixed = _attend(cell, asked, _turned(cell, key_a, key_b, cos, sin), value, heard)
        y = y + mixed @ w[f"{name}.out.weight"]
        z = _norm(y, w[f"{name}.think.gain"]) @ w[f"{name}.first.weight"]
        z = torch.relu(z + w[f"{name}.first.bias"]) @ w[f"{name}.second.weight"]
        y = y + (z + w[f"{name}.second.bias"])
    x = _marked(_norm(y, w["last.gain"]), bad)
    if tokens.known is None:
        return _plain(cell, tokens, x, [*kept, filled], whole)
    return _masked(cell, tokens, state, x, [*kept, filled], whole)


def _plain(
    cell: Transformer, tokens: _Tokens, x: Tensor, kept: list[_Part], whole: bool
) -> list[Tensor]:
    """Return the parts where each step has a token: views, for a state holds K of them."""
    k = cell.window

    def windows(part: _Part) -> Tensor:
        if not whole:
            both = _joined(part, min(k, part[1].shape[1]))[:, -k:]
            return both.flatten(1).t()[:, None]
        size = part[0].shape[-1]
        return _joined(part).flatten(1).unfold(1, k * size, size)[:, 1:].permute(2, 1, 0)

    now, times = tokens.now, tokens.times.unfold(1, k, 1)[:, 1:]
    age = (now[..., None] - times if whole else now[:, -1:, None] - times[:, -1:]).to(x.dtype)
    *parts, filled = (windows(part) for part in kept)
    age = age.permute(2, 1, 0)
    return [x.permute(2, 1, 0), *parts, age, filled, torch.zeros_like(age[:1])]


def _masked(
    cell: Transformer, tokens: _Tokens, state: Tensor, x: Tensor, kept: list[_Part], whole: bool
) -> list[Tensor]:
    """Return the parts by looking up, for each step, the tokens that it knows."""
    assert tokens.known is not None
    k, n = cell.window, cell.units
    same = None
    if len(tokens.episode):
        same = tokens.episode[:, k - 1 :].gather(1, tokens.known) == tokens.number
    x = torch.cat([state[:, None, cell.where("x")], x], 1)
    x = x.gather(1, tokens.known[..., None].expand(-1, -1, n))
    # Before an episode's first token its state is the initial one.
    x = x if same is None else torch.where(same[..., None], x, 0.0)
    last = torch.cat([torch.zeros_like(tokens.times[:, :1]), tokens.times[:, k:]], 1)
    last = last.gather(1, tokens.known)
    last = last if same is None else torch.where(same, last, tokens.begin)
    clock = tokens.now - last
    steps = slice(None) if whole else slice(-1, None)
    known, last, clock = tokens.known[:, steps], last[:, steps], clock[:, steps]

    def windows(part: Tensor) -> Tensor:
        """Return (B, steps, K, size)."""
        size = part.shape[-1]
        found = part.flatten(1).unfold(1, k * size, size)
        found = found.gather(1, known[..., None].expand(-1, -1, k * size))
        return found.unflatten(-1, (k, size))

    age = windows(tokens.times[..., None])[..., 0]
    parts = [windows(_joined(part)) for part in kept]
    if same is not None:
        mine = windows(tokens.episode[..., None])[..., 0] == tokens.number[:, steps, None]
        age = torch.where(mine, age, tokens.begin[:, steps, None])
        parts = [torch.where(mine[..., None], part, 0.0) for part in parts]
    age, clock = (last[..., None] - age).to(x.dtype), clock.to(x.dtype)[..., None]
    *parts, filled = (part.flatten(2).permute(2, 1, 0) for part in parts)
    return [x.permute(2, 1, 0), *parts, age.permute(2, 1, 0), filled, clock.permute(2, 1, 0)]


def _joined(part: _Part, less: int = 0) -> Tensor:
    """Return tokens before and after, without the first ``less``: (B, K - less + J, size)."""
    before, new = part
    return new if less == before.shape[1] else torch.cat([before[:, less:], new], 1)


def _without(tokens: Tensor, bad: Tensor) -> Tensor:
    """Return tokens (B, S, size), zero where they are not finite: ``bad`` (B, S)."""
    return torch.where(bad[..., None], 0.0, tokens)


def _marked(tokens: Tensor, bad: Tensor | None) -> Tensor:
    """Return tokens (B, S, size), NaN where something that is not finite was heard.

    By addition: a gradient that is zero stays zero.
    """
    if bad is None:
        return tokens
    return tokens + torch.zeros_like(tokens[..., :1]).masked_fill(bad[..., None], torch.nan)


def _hearing(cell: Transformer, bad: Tensor, new: int, heard: list[Tensor]) -> Tensor:
    """Return which new tokens (B, J) hear one of those that are bad (B, S)."""
    found, before = [], bad.shape[1] - new
    for i, band in enumerate(heard):
        stop = before + i * cell.window + band.shape[2]
        told = bad[:, None, stop - band.shape[3] : stop] & (band[:, 0] > 0)
        found.append(told.any(-1))
    return torch.cat(found, 1)


def _norm(y: Tensor, gain: Tensor) -> Tensor:
    return y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPSILON) * gain


def _angle(cell: Transformer, times: Tensor) -> Tensor:
    """Angles of the frequencies of a head, rad: (B, S, units / 2 / heads)."""
    each = cell.units // 2 // cell.heads
    cycles = times[..., None] * torch.as_tensor(cell.frequencies[:each], device=times.device)
    return 2.0 * math.pi * (cycles - torch.round(cycles))


def _turned(cell: Transformer, a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves by each token's angles: (B, heads, S, units / heads)."""
    a, b = (half.unflatten(-1, (cell.heads, -1)).transpose(1, 2) for half in (a, b))
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _heard(cell: Transformer, tokens: _Tokens, filled: Tensor, empty: int) -> list[Tensor]:
    """Return which tokens each new token hears: 0 or 1, (B, 1, asked, heard) a band.

    New tokens are taken K at a time: these hear each other and the K before, so that time and
    memory grow with the steps only.
    """
    k, found = cell.window, []
    count = filled.shape[1] - k
    for start in range(0, count, k):
        stop = min(start + k, count)
        here = slice(max(start, empty), k + stop)
        step = torch.arange(start, stop, device=filled.device)[:, None]
        position = torch.arange(here.start, here.stop, device=filled.device)
        inside = (position > step) & (position <= step + k)
        band = inside * filled[:, None, None, here]
        if len(tokens.episode):
            asked = tokens.episode[:, k + start : k + stop]
            same = asked[:, :, None] == tokens.episode[:, None, here]
            band = band * same[:, None]
        found.append(band)
    return found


def _attend(
    cell: Transformer, query: Tensor, key: Tensor, value: Tensor, heard: list[Tensor]
) -> Tensor:
    """Mix values (B, S, units) by queries (B, heads, J, d) and keys (B, heads, S, d)."""
    # The first half of a head's values lies in the first half of the units.
    shown = value.unflatten(-1, (2, cell.heads, -1)).permute(0, 3, 1, 2, 4).flatten(-2)
    found, before = [], key.shape[2] - query.shape[2]
    for i, band in enumerate(heard):
        start = i * cell.window
        stop = start + band.shape[2]
        here = slice(before + stop - band.shape[3], before + stop)
        scores = query[:, :, start:stop] @ key[:, :, here].mT
        scores = scores / math.sqrt(cell.units // cell.heads)
        weight = torch.exp(STEEPEST * torch.tanh(scores / STEEPEST)) * band
        found.append((weight / weight.sum(-1, keepdim=True)) @ shown[:, :, here])
    mixed = found[0] if len(found) == 1 else torch.cat(found, 2)
    return mixed.unflatten(-1, (2, -1)).permute(0, 2, 3, 1, 4).flatten(2)
