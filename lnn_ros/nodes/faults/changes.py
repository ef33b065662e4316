"""What can be done to a stream: functions from a serialized message to those that go on instead."""

from __future__ import annotations

import array
import math
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

Change = Callable[[bytes], list[bytes]]
"""Takes the message that came, returns those that are sent."""

NS = 1_000_000_000
_STAMP = struct.Struct("<iI")
_STAMP_AT = 4  # after the four bytes that say how the payload is encoded
_CAUGHT = 4  # messages that are turned round at a time
_COPIES = 10
_RANDOM = 20_260_101
_PNG_HEAD, _PNG_SIDES, _PNG_SUM = 12, 16, 29  # bytes of a PNG: its first chunk, without its length


def stamp_ns(payload: bytes) -> int:
    """Return the stamp of a message that begins with one, as a header and a clock do."""
    seconds, nanoseconds = _STAMP.unpack_from(payload, _STAMP_AT)
    return int(seconds * NS + nanoseconds)


def restamped(payload: bytes, at_ns: int) -> bytes:
    """Return a message with another stamp."""
    stamp = _STAMP.pack(*divmod(min(max(at_ns, 0), (2**31 - 1) * NS), NS))
    return payload[:_STAMP_AT] + stamp + payload[_STAMP_AT + _STAMP.size:]


def make(name: str, kind: type[Any], value: float) -> Change:
    """Return a change, ready for a stream.

    Parameters
    ----------
    name : str
        One of ``CHANGES``.
    kind : type
        Message type of the stream.
    value : float
        What the change does with it stands there.
    """
    return CHANGES[name](kind, value)


def _silent(_kind: type[Any], _value: float) -> Change:
    return lambda _payload: []


def _stuck(_kind: type[Any], _value: float) -> Change:
    first: list[bytes] = []

    def change(payload: bytes) -> list[bytes]:
        if not first:
            first.append(payload)
        return list(first)
    return change


def _frozen(_kind: type[Any], _value: float) -> Change:
    first: list[bytes] = []

    def change(payload: bytes) -> list[bytes]:
        if not first:
            first.append(payload)
        return [restamped(first[0], stamp_ns(payload))]
    return change


def _copies(_kind: type[Any], value: float) -> Change:
    return lambda payload: [payload] * int(value)


def _reordered(_kind: type[Any], _value: float) -> Change:
    caught: list[bytes] = []

    def change(payload: bytes) -> list[bytes]:
        caught.append(payload)
        if len(caught) < _CAUGHT:
            return []
        found = caught[::-1]
        caught.clear()
        return found
    return change


def _flood(_kind: type[Any], _value: float) -> Change:
    before: list[int] = []

    def change(payload: bytes) -> list[bytes]:
        now = stamp_ns(payload)
        step = max(now - before[0], 0) // _COPIES if before else 0
        before[:] = [now]
        return [restamped(payload, now - i * step) for i in reversed(range(_COPIES))]
    return change


def _shifted(_kind: type[Any], value: float) -> Change:
    return lambda payload: [restamped(payload, stamp_ns(payload) + round(value * NS))]


def _unstamped(_kind: type[Any], _value: float) -> Change:
    return lambda payload: [restamped(payload, 0)]


def _stepped(_kind: type[Any], value: float) -> Change:
    """Stamps go to and fro by a step, with every message."""
    sign = [1]

    def change(payload: bytes) -> list[bytes]:
        sign[0] = -sign[0]
        return [restamped(payload, stamp_ns(payload) + sign[0] * round(value * NS))]
    return change


def _edited(edit: Callable[[Any, float], object]) -> Callable[[type[Any], float], Change]:
    """Make a change of what is done to the message object."""
    def of(kind: type[Any], value: float) -> Change:
        def change(payload: bytes) -> list[bytes]:
            message = deserialize_message(payload, kind)
            edit(message, value)
            return [serialize_message(message)]
        return change
    return of


def _all_numbers(message: Any, value: float) -> None:
    """Set every floating-point number below a message, its arrays included."""
    for name, kind in message.get_fields_and_field_types().items():
        old = getattr(message, name)
        if hasattr(old, "get_fields_and_field_types"):
            if name != "header":
                _all_numbers(old, value)
        elif kind in ("double", "float"):
            setattr(message, name, value)
        elif kind.startswith("double["):
            setattr(message, name, [value] * len(old))
        elif kind.startswith(("sequence<float", "sequence<double")):
            setattr(message, name, array.array(old.typecode, [value] * len(old)))


def _ranges(message: Any, value: float) -> None:
    """Set what a sensor of distances has measured, of whatever type; its own limits stay."""
    if hasattr(message, "ranges"):
        message.ranges = array.array("f", [value] * len(message.ranges))
    elif hasattr(message, "range"):
        message.range = value
    else:  # a depth image, or points, which stay in their directions
        numbers = np.frombuffer(message.data, np.float32)
        if hasattr(message, "fields"):
            points = numbers.reshape(-1, 3)
            numbers = points / np.linalg.norm(points, axis=1, keepdims=True) * np.float32(value)
        else:
            numbers = np.full_like(numbers, value)
        message.data = array.array("B", numbers.tobytes())


def _pixels(message: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1)


def _data(message: Any, pixels: np.ndarray[Any, Any]) -> None:
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())


def _filled(message: Any, value: float) -> None:
    _data(message, np.full(len(message.data), int(value), np.uint8))


def _noise(message: Any, _value: float) -> None:
    random_bytes = np.random.default_rng().integers(0, 256, len(message.data), np.uint8)
    _data(message, random_bytes)


def _resized(message: Any, value: float) -> None:
    """Every ``value``-th pixel only, in a message that is right about that."""
    pixels = _pixels(message)[::int(value), ::int(value)]
    message.height, message.width = pixels.shape[:2]
    message.step = message.width * pixels.shape[2]
    _data(message, pixels)


def _enlarged(message: Any, value: float) -> None:
    """Every pixel ``value`` times ``value`` times: a picture that is dear to look at."""
    pixels = _pixels(message).repeat(int(value), 0).repeat(int(value), 1)
    message.height, message.width = pixels.shape[:2]
    message.step = message.width * pixels.shape[2]
    _data(message, pixels)


def _encoding(message: Any, _value: float) -> None:
    if hasattr(message, "format"):
        message.format = "webp"
    else:
        message.encoding = "bayer_rggb8"


def _huge(message: Any, value: float) -> None:
    """A PNG that says in its head, rightly summed up, that it is as wide and high as that."""
    data = bytearray(message.data)
    struct.pack_into(">II", data, _PNG_SIDES, int(value), int(value))
    struct.pack_into(">I", data, _PNG_SUM, zlib.crc32(data[_PNG_HEAD:_PNG_SUM]))
    message.data = array.array("B", bytes(data))


def _lying(message: Any, _value: float) -> None:
    """Says that there is more data than comes with it."""
    message.height *= 4


def _uncalibrated(message: Any, _value: float) -> None:
    message.k = [0.0] * 9


def _other_focus(message: Any, value: float) -> None:
    k = list(message.k)
    k[0], k[4] = k[0] * value, k[4] * value
    message.k = k


def _says_no(message: Any, _value: float) -> None:
    """A vehicle that is not airborne, a deadman that is not held."""
    if hasattr(message, "data"):
        message.data = False
        return
    for pair in message.values:
        if pair.key == "airborne":
            pair.value = "false"


def _nonsense(message: Any, _value: float) -> None:
    for pair in message.values:
        pair.value = "perhaps"


def _truncated(_kind: type[Any], _value: float) -> Change:
    """Cut short by four bytes at least: the wire fills payloads up to a multiple of four."""
    chance = random.Random(_RANDOM)  # nosec B311  # the same faults every time
    return lambda payload: [payload[:chance.randrange(len(payload) - 3)]]


def _garbled(_kind: type[Any], _value: float) -> Change:
    """Some bytes, anywhere in the message, are others."""
    chance = random.Random(_RANDOM)  # nosec B311  # the same faults every time
    return lambda payload: [_with_other_bytes(payload, chance)]


def _with_other_bytes(payload: bytes, chance: random.Random) -> bytes:
    found = bytearray(payload)
    for _ in range(1 + len(found) // 50):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


CHANGES: dict[str, Callable[[type[Any], float], Change]] = {
    "silent": _silent, "stuck": _stuck, "frozen": _frozen, "copies": _copies,
    "reordered": _reordered, "flood": _flood, "shifted": _shifted, "unstamped": _unstamped,
    "stepped": _stepped, "numbers": _edited(_all_numbers),
    "ranges": _edited(_ranges), "filled": _edited(_filled),
    "noise": _edited(_noise), "resized": _edited(_resized), "enlarged": _edited(_enlarged),
    "encoding": _edited(_encoding), "huge": _edited(_huge), "lying": _edited(_lying),
    "uncalibrated": _edited(_uncalibrated), "focus": _edited(_other_focus),
    "no": _edited(_says_no), "nonsense": _edited(_nonsense),
    "truncated": _truncated, "garbled": _garbled,
}
"""By name. ``kind`` is the message type; ``value`` is a number of copies, seconds (``shifted``,
``stepped``), what numbers, bytes or sides become, or by how much a picture or a focal length
changes."""


# Payloads of a hostile publisher

_INTEGERS = {"boolean": (0, 1), "octet": (0, 255), "char": (0, 255), "uint8": (0, 255),
             "int8": (-128, 127), "uint16": (0, 2**16 - 1), "int16": (-2**15, 2**15 - 1),
             "uint32": (0, 2**32 - 1), "int32": (-2**31, 2**31 - 1),
             "uint64": (0, 2**64 - 1), "int64": (-2**63, 2**63 - 1)}
_SINGLE = (0.0, -0.0, 1.0, -1.0, 1e-40, 3e38, -3e38, math.nan, math.inf, -math.inf)
_DOUBLE = (*_SINGLE, 1e-310, 1.7e308, -1.7e308)
_TEXTS = ("", "base_link", "camera", "imu", "rgb8", "mono8", "16UC1", "32FC1", "plumb_bob",
          "equidistant", "airborne", "velocity_mode", "true", "TRUE", "x" * 5000, "\n\t\x1b[31m",
          "ünïcödé ☃", "%s%n%x", "../../etc/passwd")
_LENGTHS = (0, 1, 2, 3, 5, 9, 64, 1000, 20_000)
_FEW = 64  # different elements of a long sequence


def hostile(kind: type[Any], count: int, at_ns: int) -> Iterator[bytes]:
    """Yield valid messages of a type with hostile values.

    Parameters
    ----------
    kind : type
        Message type.
    count : int
        How many.
    at_ns : int
        What time it is, ns: two of three have that stamp, so that what follows it is looked at.
    """
    chance = random.Random(f"{_RANDOM} {kind.__name__}")  # nosec B311  # likewise
    for number in range(count):
        payload = serialize_message(_hostile(kind, chance))
        stamped = "header" in kind.get_fields_and_field_types()
        yield restamped(payload, at_ns) if stamped and number % 3 else payload


def broken(good: bytes, count: int) -> Iterator[bytes]:
    """Yield payloads that are no messages: a good one cut short, with other bytes, and noise."""
    chance = random.Random(f"{_RANDOM} {len(good)}")  # nosec B311  # likewise
    ways = (lambda: good[:chance.randrange(len(good))],
            lambda: _with_other_bytes(good, chance),
            lambda: good[:4] + chance.randbytes(chance.randrange(400)),
            lambda: chance.randbytes(chance.randrange(400)))
    for number in range(count):
        yield ways[number % len(ways)]()


def _hostile(kind: type[Any], chance: random.Random) -> Any:
    message = kind()
    for name, what in kind.get_fields_and_field_types().items():
        setattr(message, name, _value(what, getattr(message, name), chance))
    return message


def _value(what: str, old: Any, chance: random.Random) -> Any:
    """Return a hostile value for a field, from its type's name and the value that it has."""
    if what.startswith("sequence<"):
        inner = what[len("sequence<"):].rstrip(">").partition(",")[0]
        length = chance.choice(_LENGTHS)
        if isinstance(old, array.array):
            few = [_scalar(inner, chance) for _ in range(min(length, _FEW))]
            return array.array(old.typecode, (few * (length // _FEW + 1))[:length])
        if inner == "string":
            return [chance.choice(_TEXTS) for _ in range(min(length, 9))]
        return [_hostile(_message_class(inner), chance) for _ in range(min(length, 9))]
    if what.endswith("]"):
        return [_scalar(what.partition("[")[0], chance) for _ in range(len(old))]
    if hasattr(old, "get_fields_and_field_types"):
        return _hostile(type(old), chance)
    found = _scalar(what, chance)
    return bytes([int(found)]) if what == "octet" else found


def _scalar(what: str, chance: random.Random) -> Any:
    if what in ("double", "float"):
        return chance.choice(_DOUBLE if what == "double" else _SINGLE)
    if what.startswith("string"):
        return chance.choice(_TEXTS)
    if what == "boolean":
        return chance.random() < 0.5
    low, high = _INTEGERS[what]
    return chance.choice((low, high, 0, 1, min(high, 48), min(high, 64), chance.randint(low, high)))


def _message_class(name: str) -> type[Any]:
    package, _, kind = name.partition("/")
    found: type[Any] = getattr(__import__(f"{package}.msg", fromlist=[kind]), kind)
    return found
