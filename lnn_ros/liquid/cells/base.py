"""What a cell is: an architecture as data, and its maths written once against ``liquid.ops``."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.ops import Array, Ops
from lnn_ros.liquid.wiring import Wiring

MAX_UNITS = 4096
"""Largest layer or input that a file may ask for."""
MAX_LAYERS = 8

Weights = Mapping[str, Array]
Values = dict[str, NDArray[np.float64]]
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """Neurons that are updated together.

    Attributes
    ----------
    name : str
        As in ``Wiring``: "inter", "command", "motor" of an NCP, "hidden" of a dense network.
    units : int
        Number of neurons.
    recurrent : bool
        Whether its neurons hear each other, besides the layer before (or the inputs).
    """

    name: str
    units: int
    recurrent: bool


@dataclass(frozen=True)
class Cell(abc.ABC):
    """A recurrent cell: ``predict`` over the time since the last observation, then ``update``.

    A cell is plain data (its fields, stored in checkpoints) and pure functions. The functions take
    the operations ``ops`` and the weights ``w`` (masks already applied) and return new arrays, so
    that the same lines run in numpy, torch, ONNX and C. The state is one array (..., state_size);
    ``parts`` names its pieces. Its last number, ``elapsed``, is the time since the last
    observation in seconds: ``predict`` lets it grow, ``update`` uses it and sets it to zero.

    Attributes
    ----------
    inputs : int
        Number of inputs.
    layers : tuple of Layer
        In the order in which an update runs through them.
    read : int
        The head reads the last so many activities.
    """

    inputs: int
    layers: tuple[Layer, ...]
    read: int

    kind: ClassVar[str]
    """Name in the registry and in files."""
    split: ClassVar[bool] = True
    """False where the published cell knows no flow between observations: ``predict`` then only
    counts the time, the activity is held, and ``update`` does the whole published step."""
    memory: ClassVar[bool] = True
    """False where an update forgets all that was before it: without a frame such a policy makes
    none, and stands by what it last answered."""
    presence: ClassVar[bool] = False
    """True where the cell is told of every input whether it is there, and how old it is: its inputs
    are the values, then as many 0 or 1, then as many ages."""

    # -- architecture ---------------------------------------------------------------------------

    @abc.abstractmethod
    def parts(self) -> dict[str, int]:
        """Names and sizes of the state's pieces, in order; the last one is ``elapsed``: 1."""

    @abc.abstractmethod
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the trained arrays; weights are (sources, targets)."""

    def masks(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the wiring's masks: one a layer, (sources, units)."""
        return {
            f"wiring.{layer.name}": (sources + layer.units * layer.recurrent, layer.units)
            for layer, sources in self.sources()
        }

    @abc.abstractmethod
    def allowed(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        """Return what the wiring allows of each wired parameter: its name, and 0 or 1 in its shape.

        Parameters without an entry (biases, time constants) are all allowed.
        """

    @abc.abstractmethod
    def initialise(self, rng: np.random.Generator, masks: Mapping[str, Mask]) -> Values:
        """Draw the parameters; forbidden weights are zero."""

    def polarised(self, values: Values, signs: Mapping[str, NDArray[np.int8]]) -> Values:
        """Return initial parameters in which synapses of a fixed kind have the wiring's signs.

        ``signs`` are named and shaped as the masks are: 1 excites, -1 inhibits, 0 forbids. Most
        cells have no such synapses.
        """
        return values

    def check(self) -> None:
        """Refuse an architecture that cannot run.

        Raises
        ------
        LnnError
            Naming the entry, what was found and what was expected.
        """
        integer(f"{self.kind}: inputs", self.inputs, 1, MAX_UNITS)
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise LnnError(
                f"{self.kind}: {len(self.layers)} layers found, expected 1 to {MAX_LAYERS}"
            )
        for layer in self.layers:
            if type(layer.name) is not str or not layer.name.isidentifier():
                raise LnnError(f"{self.kind}: layer name {layer.name!r}, expected an identifier")
            if type(layer.recurrent) is not bool:
                raise LnnError(
                    f"{self.kind}: recurrent of layer {layer.name} is {layer.recurrent!r}, "
                    "expected true or false"
                )
            integer(f"{self.kind}: units of layer {layer.name}", layer.units, 1, MAX_UNITS)
        if len({layer.name for layer in self.layers}) < len(self.layers):
            raise LnnError(f"{self.kind}: two layers have the same name, expected distinct names")
        integer(f"{self.kind}: read", self.read, 1, len(self.names()))

    def sources(self) -> Iterator[tuple[Layer, int]]:
        """Layers, each with the number of neurons or inputs that feed it."""
        size = self.inputs
        for layer in self.layers:
            yield layer, size
            size = layer.units

    @classmethod
    def wired(cls, inputs: int, wiring: Wiring, read: int, **options: Any) -> Cell:
        """Build the cell for a wiring; ``options`` are the cell's own fields."""
        unknown = sorted(options.keys() - {field.name for field in fields(cls)})
        if unknown:
            known = [f.name for f in fields(cls) if f.name not in ("inputs", "layers", "read")]
            raise LnnError(
                f"{cls.kind}: option {unknown[0]} found, expected one of {', '.join(known)}"
            )
        layers = tuple(Layer(n.name, n.units, n.loop is not None) for n in wiring.layers)
        cell = cls(inputs=inputs, layers=layers, read=read, **options)
        cell.check()
        return cell

    @property
    def units(self) -> int:
        """Number of neurons."""
        return sum(layer.units for layer in self.layers)

    @property
    def state_size(self) -> int:
        """Numbers in the state."""
        return sum(self.parts().values())

    def names(self) -> list[str]:
        """Names of the activities."""
        return [f"{layer.name}_{i:02d}" for layer in self.layers for i in range(layer.units)]

    def count(self) -> int:
        """Number of parameters, forbidden connections included."""
        return sum(math.prod(shape) for shape in self.parameters().values())

    def learnable(self, masks: Mapping[str, Mask]) -> int:
        """Number of parameters that a wiring allows."""
        allowed = self.allowed(masks)
        return sum(
            int(allowed[name].sum()) if name in allowed else math.prod(shape)
            for name, shape in self.parameters().items()
        )

    def where(self, part: str) -> slice:
        """Where a piece lies in the state."""
        start = 0
        for name, size in self.parts().items():
            if name == part:
                return slice(start, start + size)
            start += size
        raise KeyError(part)

    def stages(self) -> tuple[Cell, tuple[float, ...]] | None:
        """Return a cell whose update, repeated, is this one's, and when one ends: 0 s first.

        For a cell that solves an ODE in as many steps as the elapsed time asks for: what runs can
        then prepare one step. An update is one of that cell over each interval between the
        instants, as far as time has elapsed, at least over the first (however short), then over
        what is left; the observation is the same. None: an update is all of a piece.
        """
        return None

    # -- maths ----------------------------------------------------------------------------------

    def initial_state(self, first_interval: float = 0.0) -> NDArray[np.float64]:
        """Return the state before anything was seen, shape (state_size,): zeros.

        ``first_interval`` is the time, in seconds, that the first observation speaks for, besides
        what ``predict`` adds.
        """
        state = np.zeros(self.state_size)
        state[-1] = first_interval
        return state

    def derived(self, ops: Ops, w: Weights) -> Weights:
        """Return the weights, and with them what ``update`` makes of weights alone.

        What runs a cell over many steps may call it once before; ``update`` takes both.
        """
        return w

    @abc.abstractmethod
    def predict(self, ops: Ops, w: Weights, state: Array, dt: Array) -> Array:
        """Return the state (..., state_size) ``dt`` (..., 1) seconds later, nothing observed."""

    @abc.abstractmethod
    def update(self, ops: Ops, w: Weights, state: Array, inputs: Array) -> Array:
        """Return the state after an observation (..., inputs)."""

    def activity(self, ops: Ops, state: Array) -> Array:
        """Return the activities (..., neurons); by default the state's first part, ``x``."""
        return state[..., : len(self.names())]

    # -- data -----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """Build and check.

        Raises
        ------
        LnnError
            When an entry is missing, unknown or wrong.
        """
        known = {field.name for field in fields(cls)}
        for name in sorted(known - data.keys()):
            raise LnnError(f"{cls.kind}: the entry {name} is missing")
        for name in sorted(data.keys() - known - {"kind"}):
            raise LnnError(f"{cls.kind}: entry {name} found, expected {', '.join(sorted(known))}")
        values = {name: _tuples(data[name]) for name in known}
        if not isinstance(values["layers"], tuple):
            raise LnnError(f"{cls.kind}: layers is {values['layers']!r}, expected a list")
        layers = []
        for layer in values["layers"]:
            if not isinstance(layer, dict) or set(layer) != {"name", "units", "recurrent"}:
                raise LnnError(f"{cls.kind}: layer {layer!r}, expected name, units and recurrent")
            layers.append(Layer(**layer))
        cell = cls(**{**values, "layers": tuple(layers)})
        cell.check()
        return cell


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def integer(name: str, value: object, least: int, most: int) -> None:
    """Refuse anything but an integer in a range."""
    if type(value) is not int or not least <= value <= most:
        raise LnnError(f"{name} is {value!r}, expected an integer from {least} to {most}")


def number(name: str, value: object, least: float, most: float) -> None:
    """Refuse anything but a number in a range."""
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise LnnError(f"{name} is {value!r}, expected a number from {least:g} to {most:g}")


def choice(name: str, value: object, options: tuple[object, ...]) -> None:
    """Refuse anything but one of the options."""
    if not any(value is option or (type(value) is str and value == option) for option in options):
        raise LnnError(f"{name} is {value!r}, expected one of {', '.join(str(o) for o in options)}")


def fan_in(mask: Mask) -> float:
    """Mean number of sources of a neuron, at least 1."""
    return max(1.0, float(mask.sum(0).mean()))
