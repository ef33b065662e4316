"""Pictures of a recorded flight: its way from above, and everything that happened over time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse, Patch, Polygon
from matplotlib.patheffects import withStroke

from lnn_ros.learning.run_folder import target_places
from lnn_ros.simulation.task import LapGoal
from lnn_ros.simulation.verdicts import said
from lnn_ros.simulation.world import Role, Shape, Solid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from lnn_ros.learning.run_folder import Run
    from lnn_ros.simulation.world import Road, World

_INK = "#263238"
_STREAM_COLORS = {"camera": "#e4572e", "imu": "#3f7cac"}
_COMMAND_COLORS = {"forward": "#c44536", "left": "#e8a33d", "up": "#3f7cac"}
_ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.96)}
_FLEET_COLORS = ("#c44536", "#3f7cac", "#e8a33d", "#5b8c5a")
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.edgecolor": "#90a4ae", "axes.labelcolor": _INK,
    "xtick.color": _INK, "ytick.color": _INK, "text.color": _INK, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
}


def headline(run: Run) -> str:
    """One line that says what flew where, and how it ended."""
    return (f"{run.task.name.replace('_', ' ')}, world {run.world.seed}: the "
            f"{run.task.vehicle.kind} {said(run.task.success, run.outcome)} "
            f"after {run.duration_s:.1f} s")


def draw_trajectory(run: Run, path: Path) -> None:
    """Draw the world from above with the flown path, coloured by speed, as a PNG.

    Parameters
    ----------
    run : Run
        What was recorded.
    path : Path
        File to write.
    """
    way = run.position[:, :2]
    targets = target_places(run.world, run.stamp_ns)[:, :2]
    target = targets[-1]
    # To a target that stands, the straight line; of one that walks, its way.
    aim = np.vstack([way[:1], target]) if run.world.walk is None else targets
    points = np.vstack([way, targets, *((run.world.road.points,) if run.world.road else ())])
    low, high = points.min(axis=0) - 3.0, points.max(axis=0) + 3.0
    wide, tall = high - low
    scale = min(9.0 / wide, 9.0 / tall)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(max(scale * wide + 1.5, 6.5), scale * tall + 1.3),
                                    layout="constrained")
        axes.set_facecolor("#eef1e6")
        for solid in sorted(run.world.solids, key=lambda s: s.position[2] + s.size[2]):
            if solid is run.world.target:
                solid = replace(solid, position=(target[0], target[1], solid.position[2]))
            axes.add_patch(_footprint(solid))
        if run.world.road is not None:
            _draw_road(run.world.road, axes)
        if not isinstance(run.task.success, LapGoal):
            reach = float(max(run.world.target.size[:2])) + run.task.success.distance
            axes.add_patch(Circle((float(target[0]), float(target[1])), reach, fill=False,
                                  linestyle=(0, (2, 2)), color=_INK, linewidth=1.0, zorder=4))
            axes.plot(*aim.T, linestyle=(0, (6, 4)), color="#607d8b",
                      linewidth=1.2, zorder=4)
        pieces = np.stack([way[:-1], way[1:]], axis=1)
        speed = np.linalg.norm(run.velocity, axis=1)
        axes.add_collection(LineCollection(list(pieces), colors="white", linewidths=5.0,
                                           capstyle="round", zorder=5))
        colored = LineCollection(list(pieces), array=0.5 * (speed[:-1] + speed[1:]),
                                 cmap="plasma", linewidths=3.0, capstyle="round", zorder=6)
        colored.set_clim(0.0, max(float(speed.max()), 0.1))
        axes.add_collection(colored)
        axes.plot(*way[0], marker="o", markersize=8, color="white", markeredgecolor=_INK, zorder=7)
        axes.annotate("start", (way[0, 0], way[0, 1]), xytext=(8, -12),
                      textcoords="offset points", zorder=8)
        radius = run.task.vehicle.radius
        axes.add_patch(Circle((float(way[-1, 0]), float(way[-1, 1])), radius, fill=False,
                              edgecolor=_INK, linewidth=1.4, zorder=7))
        for second in range(1, int(run.duration_s) + 1):
            at = run.position_at(run.start_ns + second * 1_000_000_000)
            axes.plot(at[0], at[1], marker="o", markersize=3.0, color=_INK, zorder=7)
            if second % 5 == 0:
                text = axes.annotate(f"{second} s", (at[0], at[1]), xytext=(7, 7),
                                     textcoords="offset points", zorder=8)
                text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal",
                 xlabel="east (m)", ylabel="north (m)")
        figure.suptitle(headline(run), x=0.02, ha="left", fontsize=11)
        figure.colorbar(colored, ax=axes, label="speed (m/s)", shrink=0.6, pad=0.01)
        figure.legend(handles=_legend(run), loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def draw_fleet(world: World, ways: Sequence[NDArray[np.float64]],
               frames: Sequence[NDArray[np.uint8] | None], path: Path) -> None:
    """Draw one world from above with the ways of several drones, and what each one sees, as a PNG.

    Parameters
    ----------
    world : World
        Where they flew.
    ways : sequence of ndarray (n, 3)
        Places of each drone, metres.
    frames : sequence of ndarray (height, width, 3) uint8, or None
        A picture by each drone's camera.
    path : Path
        File to write.
    """
    points = np.vstack([*(way[:, :2] for way in ways), [world.target.position[:2]]])
    low, high = points.min(axis=0) - 3.0, points.max(axis=0) + 3.0
    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=(11.0, 6.5), layout="constrained")
        grid = figure.add_gridspec(len(ways), 2, width_ratios=[2.2, 1.0])
        axes = figure.add_subplot(grid[:, 0])
        axes.set_facecolor("#eef1e6")
        for solid in sorted(world.solids, key=lambda s: s.position[2] + s.size[2]):
            axes.add_patch(_footprint(solid))
        for k, (way, frame) in enumerate(zip(ways, frames, strict=True)):
            color = _FLEET_COLORS[k % len(_FLEET_COLORS)]
            axes.plot(way[:, 0], way[:, 1], color=color, linewidth=2.5, label=f"drone{k + 1}",
                      zorder=6)
            axes.plot(*way[0, :2], marker="o", markersize=8, color="white",
                      markeredgecolor=color, zorder=7)
            axes.plot(*way[-1, :2], marker="o", markersize=6, color=color, zorder=7)
            if frame is not None:
                view = figure.add_subplot(grid[k, 1])
                view.imshow(frame)
                view.set_title(f"drone{k + 1} has another one ahead", color=color)
                view.set_axis_off()
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal",
                 xlabel="east (m)", ylabel="north (m)")
        axes.legend(loc="upper left")
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _draw_road(road: Road, axes: Axes) -> None:
    """Draw the road's surface and its edge lines, below everything that stands."""
    points = np.array(road.points)
    ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    left = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / np.linalg.norm(ahead, axis=1)[:, None]
    edges = [points + side * road.width / 2.0 * left for side in (1.0, -1.0)]
    rings = [np.vstack([edge, edge[:1]]) for edge in edges]
    axes.fill(*np.vstack([rings[0], rings[1][::-1]]).T, facecolor="#b0b5ba", zorder=0.5)
    for ring in rings:
        axes.plot(*ring.T, color="white", linewidth=1.4, zorder=0.6)


def _legend(run: Run) -> list[Patch | Line2D]:
    roles: list[Patch | Line2D] = []
    if not isinstance(run.task.success, LapGoal):
        lines = (("straight line", "arrival zone") if run.world.walk is None else
                 ("the target's way", "near enough, at the end"))
        roles += [Line2D([], [], linestyle=(0, (6, 4)), color="#607d8b", label=lines[0]),
                  Line2D([], [], linestyle=(0, (2, 2)), color=_INK, label=lines[1])]
    for role in Role:
        found = next((s for s in run.world.solids if s.role is role), None)
        if found is not None:
            roles.append(Patch(facecolor=_fill(found)[0], edgecolor=_INK, linewidth=0.4,
                               label=role.value))
    return roles


def _fill(solid: Solid) -> tuple[tuple[float, float, float], float]:
    """Colour and opacity of a solid seen from above; crowns let the path below them be seen."""
    color = tuple(float(0.5 * (c + a)) for c, a in
                  zip(solid.material.color, solid.material.accent, strict=True))
    crown = solid.role is Role.TREE and solid.shape is Shape.ELLIPSOID
    return (color[0], color[1], color[2]), (0.4 if crown else 1.0)


def _footprint(solid: Solid) -> Patch:
    """Outline of a solid from above."""
    x, y = solid.position[:2]
    color, opacity = _fill(solid)
    crown = opacity < 1.0
    style = {"facecolor": (*color, opacity), "edgecolor": (*color, 0.8) if crown else _INK,
             "linewidth": 0.5, "zorder": 2 if crown else 3}
    if solid.shape is Shape.BOX:
        cos, sin = math.cos(solid.yaw), math.sin(solid.yaw)
        corners = [(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in
                   ((a * solid.size[0], b * solid.size[1])
                    for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1)))]
        return Polygon(corners, closed=True, **style)
    return Ellipse((x, y), 2 * solid.size[0], 2 * solid.size[1], angle=math.degrees(solid.yaw),
                   **style)


def draw_timeline(run: Run, path: Path) -> None:
    """Draw distance, commands, neurons and the age of the samples over simulated time, as a PNG.

    Parameters
    ----------
    run : Run
        What was recorded.
    path : Path
        File to write.
    """
    with plt.rc_context(_STYLE):
        figure, (way, wish, turn, heat, age) = plt.subplots(
            5, 1, figsize=(11, 12), sharex=True, layout="constrained",
            height_ratios=[1.0, 1.1, 0.7, 1.7, 1.0])
        _draw_distance(run, way)
        _draw_commands(run, wish, turn)
        _draw_neurons(run, heat)
        _draw_ages(run, age)
        way.set_xlim(0.0, max(run.seconds(run.stamp_ns[-1:])[0], 0.1))
        way.set_title(headline(run), loc="left")
        age.set_xlabel("simulated time (s)")
        figure.align_ylabels()
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _draw_distance(run: Run, axes: Axes) -> None:
    time = run.seconds(run.stamp_ns)
    what = "distance to the target (m)" if run.world.road is None else "left of the lap (m)"
    axes.plot(time, run.distance, color=_INK, linewidth=1.6, label=what)
    if not isinstance(run.task.success, LapGoal):
        axes.axhline(run.task.success.distance, color=_INK, linestyle=(0, (2, 2)), linewidth=0.8)
    axes.plot(time, np.linalg.norm(run.velocity, axis=1), color="#8e44ad", linewidth=1.2,
              label="speed (m/s)")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("m, m/s")
    axes.legend(**_ABOVE, ncols=2)


def _draw_commands(run: Run, axes: Axes, turn: Axes) -> None:
    time = run.seconds(run.command.stamp_ns)
    for column, (name, color) in enumerate(_COMMAND_COLORS.items()):
        axes.plot(time, run.command.value[:, column], color=color, linewidth=1.2, label=name)
    axes.axhline(0.0, color="#90a4ae", linewidth=0.6)
    axes.set_ylabel("command\n(m/s)")
    axes.legend(**_ABOVE, ncols=3)
    turn.plot(time, run.command.value[:, 3], color="#2a9d8f", linewidth=1.2)
    turn.axhline(0.0, color="#90a4ae", linewidth=0.6)
    turn.set_ylabel("turn rate\n(rad/s)")


def _draw_neurons(run: Run, axes: Axes) -> None:
    """Heat map of the neurons' activity, one row each, in the order of the message."""
    activity = run.neurons.value
    axes.set_ylabel("neurons")
    if not activity.size:
        axes.text(0.5, 0.5, "no neuron activity was recorded", transform=axes.transAxes,
                  ha="center")
        return
    time = run.seconds(run.neurons.stamp_ns)
    edges = np.append(time, 2 * time[-1] - time[-2] if len(time) > 1 else time[-1] + 0.03)
    limit = max(float(np.percentile(np.abs(activity), 99.5)), 1e-6)
    mesh = axes.pcolormesh(edges, np.arange(activity.shape[1] + 1), activity.T, cmap="RdBu_r",
                           vmin=-limit, vmax=limit, rasterized=True)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    layers = [(layer, len(list(names))) for layer, names in
              itertools.groupby(run.neuron_names, lambda name: name.rpartition("_")[0])]
    ends = np.cumsum([0, *(count for _, count in layers)])
    axes.hlines(ends[1:-1], time[0], edges[-1], color=_INK, linewidth=1.0)
    axes.set_yticks(0.5 * (ends[1:] + ends[:-1]),
                    [f"{count} {layer}" for layer, count in layers])
    axes.tick_params(axis="y", length=0)
    axes.figure.colorbar(mesh, ax=axes, pad=0.005, aspect=30, label="activity")


def _draw_ages(run: Run, axes: Axes) -> None:
    """How old the newest sample of each stream was when a command was made, and the frames."""
    for stream, series in run.ages.items():
        axes.plot(run.seconds(series.stamp_ns), 1e3 * series.value, linewidth=1.0,
                  color=_STREAM_COLORS.get(stream, "#546e7a"), label=stream)
    frames = run.seconds(run.frames.stamp_ns)
    axes.plot(frames, np.zeros(len(frames)), "|", color=_INK, markersize=7, clip_on=False,
              transform=axes.get_xaxis_transform(), label="camera frames")
    axes.axhline(0.0, color="#90a4ae", linewidth=0.6)
    axes.set_ylabel("age of the samples\nbehind a command (ms)")
    axes.legend(**_ABOVE, ncols=3)
