"""Film and still of a recorded flight: a chase view, with what the policy saw set into it."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lnn_ros.learning.chase import Floats, chase, gaps
from lnn_ros.learning.run_folder import rotations, target_places
from lnn_ros.simulation.bodies import parts
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.verdicts import stamped

if TYPE_CHECKING:
    from lnn_ros.learning.run_folder import Run

FRAME_RATE = 20
"""Pictures per second of the film, which plays in real (simulated) time."""
SIZE = (640, 360)
"""Width and height of the film, pixels; of a film longer than 20 s they are smaller."""
_MOST_PIXELS = 20 * FRAME_RATE * SIZE[0] * SIZE[1]  # in all: half a minute's work for one core
_FIELD_OF_VIEW = math.radians(75.0)
_STILL_SCALE = 2
_FOREGROUND = 2.2  # metres from the film camera; what is nearer than this only hides the rest
_LEAD_IN_S = 1.5  # the still shows the flight, not the hover before it
_COLORS = {"arrived": (88, 214, 141), "contact": (236, 112, 99), "timeout": (245, 176, 65),
           "off_road": (236, 112, 99)}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """One picture of the film: when, from where, and where the vehicle is.

    Attributes
    ----------
    at_ns : int
        Simulated time.
    eye, position : ndarray (3,)
        Film camera and vehicle, metres, world frame.
    view, rotation : ndarray (3, 3)
        world_from_camera and world_from_body.
    """

    @property
    def at_s(self) -> float:
        """Seconds from the start."""
        return (self.at_ns - START_NS) * 1e-9

    at_ns: int
    eye: Floats
    view: Floats
    position: Floats
    rotation: Floats


def shots(run: Run) -> list[Shot]:
    """Plan the film of a run, one shot per picture from the first to the last ground truth."""
    period = 1_000_000_000 // FRAME_RATE
    at = np.arange(run.start_ns, int(run.stamp_ns[-1]) + 1, period)
    position = np.stack([np.interp(at, run.stamp_ns, c) for c in run.position.T], axis=-1)
    # Between two truths a few milliseconds apart a normalised mix of quaternions is a rotation
    # as good as any.
    rotation = rotations(np.stack([np.interp(at, run.stamp_ns, c) for c in run.quaternion.T],
                                  axis=-1))
    yaw = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    solids = run.world.solids if run.world.walk is None else run.world.solids[:-1]  # what stands
    eye, view = chase(position, yaw, float(FRAME_RATE), solids)
    return [Shot(int(t), *row)
            for t, *row in zip(at, eye, view, position, rotation, strict=True)]


def draw_film(run: Run, plan: list[Shot], path: Path,
              progress: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Render and encode the film (H.264 in mp4, which every player and browser takes).

    Parameters
    ----------
    run : Run
        What was recorded.
    plan : list of Shot
        What :func:`shots` returned.
    path : Path
        File to write.
    progress : callable
        Called with the pictures done and their number.
    """
    try:
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=FRAME_RATE)
            stream.width, stream.height = film_size(len(plan))
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "21", "preset": "veryfast"}
            for number, picture in enumerate(_pictures(run, plan), start=1):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
                progress(number, len(plan))
            container.mux(stream.encode(None))
    except BaseException:
        path.unlink(missing_ok=True)  # half a film does not play
        raise


def draw_still(run: Run, plan: list[Shot], path: Path) -> None:
    """Render the moment at which the flight looks most like one, large and smooth, as a PNG."""
    geometry = _film_camera(_STILL_SCALE * SIZE[0], _STILL_SCALE * SIZE[1])
    renderer = Renderer(run.world, geometry, vehicles=1, body=parts(run.task.vehicle))
    shot = _best_shot(run, plan)
    picture = renderer.render(shot.eye, shot.view, vehicles=[(shot.position, shot.rotation)],
                              at_s=shot.at_s)
    Image.fromarray(_decorate(run, shot, np.ascontiguousarray(picture), _STILL_SCALE)).save(
        path, optimize=True)


def _film_camera(width: int, height: int) -> CameraGeometry:
    return CameraGeometry(width, height, _FIELD_OF_VIEW, position=(0.0, 0.0, 0.0), tilt=0.0)


def film_size(pictures: int) -> tuple[int, int]:
    """Width and height that keep the work for a film within bounds, multiples of 32 and 18."""
    unit = min(SIZE[0] // 32, int(math.sqrt(_MOST_PIXELS / pictures / (32 * 18))))
    return 32 * unit, 18 * unit


def _pictures(run: Run, plan: list[Shot]) -> Iterator[Picture]:
    """Render the film's pictures in order, a few ahead of the encoder.

    The ray-caster lets go of the interpreter's lock, so that threads share the work; each has a
    renderer of its own, because a renderer keeps its buffers.
    """
    own = threading.local()
    geometry = _film_camera(*film_size(len(plan)))

    def picture(shot: Shot) -> Picture:
        if not hasattr(own, "renderer"):
            own.renderer = Renderer(run.world, geometry, vehicles=1, body=parts(run.task.vehicle))
        return _decorate(run, shot, own.renderer.render(
            shot.eye, shot.view, vehicles=[(shot.position, shot.rotation)], at_s=shot.at_s), 1)

    workers = min(4, os.cpu_count() or 1)
    waiting: deque[Future[Picture]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for shot in plan:
                waiting.append(pool.submit(picture, shot))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the encoder gave up, or the person did
            pool.shutdown(cancel_futures=True)


def _best_shot(run: Run, plan: list[Shot]) -> Shot:
    """Pick the shot that passes nearest to an obstacle with the target in view, if there is one.

    Both the film camera and the vehicle's own must have the target in view: that is what the
    task looks like.
    """
    film = Renderer(run.world, _film_camera(SIZE[0] // 8, SIZE[1] // 8), samples=1)
    own = Renderer(run.world, samples=1)
    target = run.world.solids.index(run.world.target)
    obstacles = [s for s in run.world.solids if s is not run.world.target]
    near = gaps(np.stack([shot.position for shot in plan]), obstacles)
    targets = target_places(run.world, np.array([shot.at_ns for shot in plan]))
    away = np.array([np.linalg.norm((shot.position - place)[:2])
                     for shot, place in zip(plan, targets, strict=True)])
    cost = near.copy()
    for number, shot in enumerate(plan):
        if number < _LEAD_IN_S * FRAME_RATE or away[number] < 3.0:
            cost[number] += 10.0
        seen, depth = film.cast(shot.eye, shot.view, shot.at_s)
        cost[number] += 4.0 * ((depth < _FOREGROUND) & (seen >= 0)).mean()
        if (seen == target).sum() < 20:
            cost[number] += 3.0
        forward, left, up = shot.view.T @ (shot.position - shot.eye)
        focal = film.geometry.focal_length / film.geometry.width
        if focal * left / forward < -0.08 and up < 0.0:  # behind the inset, or nearly
            cost[number] += 3.0
        if own.target_mask(shot.position, shot.rotation, shot.at_s).sum() < 4:
            cost[number] += 1.0
    return plan[int(cost.argmin())]


@functools.lru_cache(maxsize=8)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf" / name), size)


def _decorate(run: Run, shot: Shot, picture: Picture, scale: int) -> Picture:
    """Set the policy's own camera, its neurons and a few numbers into a chase view."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    margin = 10 * scale
    _inset(run, shot, image, draw, margin, scale)
    _neurons(run, shot, draw, margin, scale)

    second = 1e-9 * (shot.at_ns - run.start_ns)
    speed = np.interp(shot.at_ns, run.stamp_ns, np.linalg.norm(run.velocity, axis=1))
    distance = np.interp(shot.at_ns, run.stamp_ns, run.distance)
    text = f"{second:5.1f} s    {speed:4.2f} m/s    {distance:5.1f} m to go"
    _label(draw, (margin, margin), text, _font(14 * scale), (255, 255, 255), scale)
    word = stamped(run.task.success, run.outcome)
    if word and second >= run.duration_s - 1e-6:
        _label(draw, (margin, margin + 28 * scale), word, _font(20 * scale, bold=True),
               _COLORS[run.outcome], scale)
    return np.asarray(image)


def _label(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str,
           font: ImageFont.FreeTypeFont, color: tuple[int, int, int], scale: int) -> None:
    """Text on a dark, half transparent ground, so that it reads on any picture."""
    left, top, right, bottom = draw.textbbox(at, text, font=font)
    pad = 5 * scale
    draw.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), 4 * scale,
                           fill=(20, 28, 34, 150))
    draw.text(at, text, font=font, fill=color)


def _inset(run: Run, shot: Shot, image: Image.Image, draw: ImageDraw.ImageDraw, margin: int,
           scale: int) -> None:
    """The frame that the policy had seen last, pixel by pixel, in the lower right corner."""
    width, height = 192 * scale, 144 * scale
    left, top = image.width - margin - width, image.height - margin - height
    index = run.frames.latest(shot.at_ns)
    draw.rectangle((left - 2, top - 2, left + width + 1, top + height + 1),
                   fill=(20, 28, 34, 255))
    if index is not None:
        frame = Image.fromarray(run.frames.value[index].astype(np.uint8))
        image.paste(frame.resize((width, height), Image.Resampling.NEAREST), (left, top))
    _label(draw, (left + 6 * scale, top + 6 * scale), "what the policy sees", _font(10 * scale),
           (255, 255, 255), scale)


def _neurons(run: Run, shot: Shot, draw: ImageDraw.ImageDraw, margin: int, scale: int) -> None:
    """One square per neuron along the lower edge: red for positive activity, blue for negative."""
    index = run.neurons.latest(shot.at_ns)
    if index is None or not run.neurons.value.size:
        return
    limit = max(float(np.percentile(np.abs(run.neurons.value), 99.0)), 1e-6)
    level = np.clip(run.neurons.value[index] / limit, -1.0, 1.0)
    side, rows = 10 * scale, math.ceil(len(level) / 32)
    bottom = draw.im.size[1] - margin
    top = bottom - rows * side
    colors = matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * level)
    for number, color in enumerate(colors):
        x, y = margin + (number % 32) * side, top + (number // 32) * side
        draw.rectangle((x, y, x + side - 2, y + side - 2),
                       fill=tuple(int(255 * c) for c in color[:3]))
    _label(draw, (margin + 5 * scale, top - 20 * scale), "its neurons", _font(10 * scale),
           (255, 255, 255), scale)
