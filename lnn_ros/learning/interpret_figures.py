"""Pictures of what a policy looked at, how it remembered and why it commanded what it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from lnn_ros.liquid.cells.base import Cell
from lnn_ros.liquid.interpretation.attribution import SOURCES
from lnn_ros.liquid.interpretation.history import Floats
from lnn_ros.liquid.interpretation.time_constants import TimeConstants

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lnn_ros.learning.interpret import Interpretation

INSTANTS = 6
"""Frames shown with their saliency, evenly spread over the flight."""
_INK, _HIDDEN, _OUTLINE = "#263238", "#cfd8dc", "#00e5ff"
_COLORS = dict(zip(SOURCES, ("#e4572e", "#3f7cac", "#e8a33d", "#5b8c5a"), strict=True))
_WORDS = {"camera": "this frame", "imu": "the IMU", "elapsed_time": "the elapsed time",
          "memory": "memory (all before)"}  # fmt: skip
_COMMANDS = ("forward (m/s)", "left (m/s)", "up (m/s)", "turn left (rad/s)")
_SHORTEST, _LONGEST = 1e-3, 1e3  # s, widest ends of a colour scale
_METHODS = {
    "rate": "Time constant 1/r of each neuron",
    "liquid": "Liquid time constant of each neuron",
    "linearised": "Time constants of the linearised update, slowest mode first",
}
_WITHOUT = {
    "linearised": "This network remembers nothing from one observation to the next.",
    "none": "This network keeps a list of what it has seen: nothing in it fades, it is there or "
    "it is gone.",
}
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.edgecolor": "#90a4ae", "axes.labelcolor": _INK, "text.color": _INK,
    "xtick.color": _INK, "ytick.color": _INK, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip


def draw_saliency(found: Interpretation, path: Path) -> None:
    """Draw frames, and below each what its encoder looks at, with the target outlined."""
    flight = found.flight
    shown = np.linspace(0, len(flight.frames) - 1, INSTANTS + 1).round().astype(int)[:-1]
    shown = shown + (shown[1] - shown[0]) // 2
    height, width = flight.frames.shape[1:3]
    with plt.rc_context(_STYLE):
        figure, grid = plt.subplots(
            2, INSTANTS, figsize=(2.3 * INSTANTS, 4.6 * height / width + 1.3), layout="constrained"
        )
        for (above, below), k in zip(grid.T, shown, strict=True):
            frame, mask = flight.frames[k], flight.masks[k]
            above.imshow(frame)
            below.imshow(frame.mean(-1), cmap="gray", vmin=-120, vmax=380)
            below.imshow(
                found.saliency[k],
                cmap="inferno",
                alpha=0.15 + 0.85 * np.sqrt(found.saliency[k]),
                interpolation="bilinear",
            )
            for axes in (above, below):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if mask.any():
                    _outline(axes, mask)
            away = f"target {flight.distance[flight.camera][k]:.1f} m away"
            above.set_title(f"{flight.seconds[flight.camera][k]:.1f} s\n{away}", fontsize=9)
            ratio = found.ratio[k]
            below.set_xlabel(
                f"{ratio:.1f} times chance\non the target"
                if np.isfinite(ratio)
                else "target not in view"
            )
        grid[0, 0].set_ylabel("what the camera sees")
        grid[1, 0].set_ylabel("what the encoder\nlooks at (bright)")
        figure.suptitle(
            f"{found.headline}\nSaliency by VisualBackProp; blue outline: the target, by the "
            "simulator. The policy is not told where it is.",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _outline(axes: Axes, mask: np.ndarray[Any, Any]) -> None:
    padded = np.pad(mask, 1).astype(float)
    axes.contour(
        np.arange(-1, mask.shape[1] + 1),
        np.arange(-1, mask.shape[0] + 1),
        padded,
        [0.5],
        colors=_OUTLINE,
        linewidths=1.0,
    )


def draw_time_constants(found: Interpretation, path: Path) -> None:
    """Draw how long each neuron or mode remembers over the flight, slow ones on top."""
    constants = found.constants
    with plt.rc_context(_STYLE):
        order, bands = _order(found.history.cell, constants)
        turning = constants.method == "rate" and bool(constants.turning)
        heights = [1.0 + 0.075 * len(order), *([1.3] if turning else []), 1.2]
        figure, grid = plt.subplots(
            len(heights),
            1,
            figsize=(9.5, sum(heights) + 0.6),
            sharex=True,
            layout="constrained",
            height_ratios=heights,
        )
        if order:
            _heat(grid[0], found, order, bands)
        else:
            grid[0].set_axis_off()
            grid[0].text(0.0, 0.5, _WITHOUT[constants.method], transform=grid[0].transAxes)
        if turning:
            shown = np.clip(constants.periods, 0.1, 1e3)
            grid[1].plot(found.history.seconds, shown, linewidth=0.8)
            grid[1].set(yscale="log", ylabel="period (s)")
            _plain_ticks(grid[1])
            grid[1].set_title(f"Period of each of {shown.shape[1]} turning pairs")
        _target(grid[-1], found)
        figure.suptitle(found.headline, x=0.01, ha="left", fontsize=10)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _heat(
    axes: Axes, found: Interpretation, order: list[int], bands: list[tuple[str, int]]
) -> None:
    """Draw the time constants of some neurons or modes, one row each."""
    constants = found.constants
    seconds = np.clip(np.nan_to_num(constants.seconds[:, order]), _SHORTEST, _LONGEST)
    low, high = (float(v) for v in np.percentile(seconds, (1, 99)))
    mesh = axes.pcolormesh(
        _edges(found.history.seconds),
        np.arange(len(order) + 1),
        seconds.T,
        norm=LogNorm(low, max(high, 10.0 * low)),
        cmap="viridis",
    )
    _layers(axes, bands, len(order), "white")
    assert axes.figure is not None
    colors = axes.figure.colorbar(mesh, ax=axes, pad=0.01, extend="both")
    colors.set_label("time constant (s)")
    _plain_ticks(colors.ax)
    axes.set_title(
        f"{_METHODS[constants.method]}: bright remembers for long, dark only for an instant"
    )


def draw_activity(found: Interpretation, path: Path) -> None:
    """Draw every neuron's activity over the flight, and the phases of turning pairs."""
    history = found.history
    names, phases = history.phases()
    activity = history.activity
    limit = max(float(np.percentile(np.abs(activity), 99.0)), 1e-6)
    with plt.rc_context(_STYLE):
        figure, grid = plt.subplots(
            3 if names else 2,
            1,
            figsize=(9.5, 2.6 + 0.075 * activity.shape[1] + (1.2 if names else 0.0)),
            sharex=True,
            layout="constrained",
            height_ratios=[4.0, 1.2, 1.0] if names else [4.0, 1.0],
        )
        axes = grid[0]
        count = activity.shape[1]
        mesh = axes.pcolormesh(
            _edges(history.seconds),
            np.arange(count + 1),
            activity.T[::-1],
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
        )
        _layers(axes, _bands(history.names)[::-1], count, _INK)
        figure.colorbar(mesh, ax=axes, pad=0.01, label="activity")
        axes.set_title("Activity of each neuron, one row each")
        if names:
            mesh = grid[1].pcolormesh(
                _edges(history.seconds),
                np.arange(len(names) + 1),
                phases.T[::-1],
                cmap="twilight",
                vmin=-np.pi,
                vmax=np.pi,
            )
            figure.colorbar(mesh, ax=grid[1], pad=0.01, label="rad", ticks=[-np.pi, 0, np.pi])
            grid[1].set(yticks=[])
            grid[1].set_title("Phase of each turning pair, one row each")
        _target(grid[-1], found)
        figure.suptitle(found.headline, x=0.01, ha="left", fontsize=10)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def draw_attribution(found: Interpretation, path: Path) -> None:
    """Draw what each source adds to the commands over the flight."""
    seconds = found.history.seconds
    with plt.rc_context(_STYLE):
        figure, grid = plt.subplots(
            5, 1, figsize=(9.5, 9.0), sharex=True, layout="constrained",
            height_ratios=[2.0, 2.0, 2.0, 2.0, 1.0],
        )  # fmt: skip
        for axes, name, output in zip(grid, _COMMANDS, range(4), strict=False):
            whole = found.parts[:, :, output].sum(1)
            axes.fill_between(seconds, whole, color="#eceff1", step="post")
            axes.step(seconds, whole, color=_INK, linewidth=1.4, where="post")
            for i, source in enumerate(SOURCES):
                axes.step(seconds, found.parts[:, i, output], color=_COLORS[source],
                          linewidth=1.0, where="post")  # fmt: skip
            axes.axhline(0.0, color=_INK, linewidth=0.5)
            # Small commands are not blown up to look like large ones.
            most = max(float(np.abs(found.parts[:, :, output]).max()),
                       float(np.abs(whole).max()), 0.1 * float(found.ceilings[output]))  # fmt: skip
            axes.set(ylabel=name, ylim=(-1.05 * most, 1.05 * most), xlim=(0.0, seconds[-1]))
        grid[0].set_title(
            "Commands (black), as the difference from those of a mean frame, an IMU at rest, an "
            "ordinary interval and no memory,\nand what each source adds to it: the coloured "
            "lines sum to the black one (Shapley values)"
        )
        handles = [Line2D([], [], color=_INK, linewidth=1.4, label="all together")]
        handles += [Line2D([], [], color=c, label=_WORDS[s]) for s, c in _COLORS.items()]
        _target(grid[-1], found)
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
        figure.suptitle(found.headline, x=0.01, ha="left", fontsize=10)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _plain_ticks(axes: Axes) -> None:
    """Write 0.1 and 0.2, not powers of ten, on a logarithmic axis."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _target(axes: Axes, found: Interpretation) -> None:
    """Direction of the target over the flight, grey where it is out of view: the context."""
    flight, seconds = found.flight, found.history.seconds
    axes.fill_between(seconds, 0, 1, where=~flight.visible, color=_HIDDEN, step="post",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    axes.plot(seconds, np.degrees(flight.bearing), color=_INK, linewidth=1.0)
    axes.axhline(0.0, color=_INK, linewidth=0.5)
    axes.set(xlabel="time since the first frame (s)", ylabel="degrees left")
    axes.set_title("Where the target really is, seen from the vehicle")
    if not flight.visible.all():
        axes.legend(handles=[Patch(color=_HIDDEN, label="out of view")], loc="upper right")


def _edges(seconds: Floats) -> Floats:
    """Each observation's column lasts until the next one."""
    last = seconds[-1] - seconds[-2] if len(seconds) > 1 else 0.05
    return np.append(seconds, seconds[-1] + last)


def _bands(names: list[str]) -> list[tuple[str, int]]:
    """Layers with their numbers of neurons, in order."""
    bands: list[tuple[str, int]] = []
    for name in names:
        layer = name.rpartition("_")[0]
        if bands and bands[-1][0] == layer:
            bands[-1] = (layer, bands[-1][1] + 1)
        else:
            bands.append((layer, 1))
    return bands


def _order(cell: Cell, constants: TimeConstants) -> tuple[list[int], list[tuple[str, int]]]:
    """Rows from the bottom up: last layer lowest, within a layer the slow ones on top."""
    if constants.method in ("linearised", "none"):
        kept = np.flatnonzero((constants.seconds > 0.0).any(0))  # the others show nothing
        return kept[::-1].tolist(), [("modes", len(kept))] if len(kept) else []
    typical = np.median(constants.seconds, axis=0)
    rows: list[int] = []
    bands = _bands(cell.names())[::-1]
    end = len(typical)
    for _, count in bands:
        here = np.arange(end - count, end)
        rows += here[np.argsort(typical[here], kind="stable")].tolist()
        end -= count
    return rows, bands


def _layers(axes: Axes, bands: list[tuple[str, int]], count: int, color: str) -> None:
    """Name the layers at the left, with a line between them; bands from the bottom up."""
    axes.set(ylim=(0, count), yticks=[])
    at, ticks = 0, []
    for _, size in bands:
        ticks.append(at + size / 2)
        at += size
        if at < count:
            axes.axhline(at, color=color, linewidth=1.5)
    axes.set_yticks(ticks, [f"{name}\n({size})" for name, size in bands])
    axes.tick_params(axis="y", length=0)
