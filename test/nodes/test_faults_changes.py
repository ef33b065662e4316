"""What the relay does to messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, Imu, LaserScan, PointCloud2
from sensors import image_message, imu_message

from lnn_ros import messages
from lnn_ros.nodes.faults import changes, relay
from lnn_ros.nodes.faults.changes import make, restamped, stamp_ns

FRAME = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)


def imu(at_ns: int) -> bytes:
    return serialize_message(imu_message(at_ns))


def image(at_ns: int = 7) -> bytes:
    return serialize_message(image_message(at_ns, FRAME))


def changed(name: str, payload: bytes, kind: type = Image, value: float = 0.0):
    (found,) = make(name, kind, value)(payload)
    return deserialize_message(found, kind)


def test_stamps_are_read_and_written_in_the_payload() -> None:
    payload = imu(3_000_000_007)
    assert stamp_ns(payload) == 3_000_000_007
    message = deserialize_message(restamped(payload, 12_000_000_001), Imu)
    assert messages.stamp_ns(message) == 12_000_000_001
    assert message.linear_acceleration.z == pytest.approx(9.81)
    assert stamp_ns(restamped(payload, -5)) == 0


def test_changes_of_time() -> None:
    first, second = imu(1_000_000_000), imu(1_100_000_000)
    assert make("silent", Imu, 0)(first) == []
    stuck, frozen = make("stuck", Imu, 0), make("frozen", Image, 0)
    assert stuck(first) == stuck(second) == [first]
    one, other = image(5), serialize_message(image_message(9, FRAME[::-1].copy()))
    assert frozen(one) == [one]
    assert frozen(other) == [restamped(one, 9)]
    assert make("copies", Imu, 2)(first) == [first, first]
    assert [stamp_ns(p) for p in make("shifted", Imu, -0.5)(first)] == [500_000_000]
    assert [stamp_ns(p) for p in make("unstamped", Imu, 0)(first)] == [0]
    stepped = make("stepped", Imu, 0.2)
    assert [stamp_ns(p) for p in stepped(first) + stepped(first)] == [800_000_000, 1_200_000_000]


def test_reordering_loses_nothing() -> None:
    change = make("reordered", Imu, 0)
    sent = [imu(n) for n in range(1, 9)]
    came = [p for payload in sent for p in change(payload)]
    assert sorted(came) == sorted(sent)
    assert [stamp_ns(p) for p in came] == [4, 3, 2, 1, 8, 7, 6, 5]


def test_flood_is_ten_times_as_many_with_stamps_of_their_own() -> None:
    change = make("flood", Imu, 0)
    change(imu(1_000_000_000))
    stamps = [stamp_ns(p) for p in change(imu(1_100_000_000))]
    assert stamps == [1_010_000_000 + 10_000_000 * i for i in range(10)]


def test_changes_of_content() -> None:
    nan = changed("numbers", imu(1), Imu, math.nan)
    assert math.isnan(nan.angular_velocity.x)
    assert math.isnan(nan.linear_acceleration_covariance[8])
    assert messages.stamp_ns(nan) == 1
    assert set(changed("filled", image(), value=255).data) == {255}
    assert bytes(changed("noise", image()).data) != FRAME.tobytes()
    half = changed("resized", image(), value=2)
    np.testing.assert_array_equal(messages.image_view(half), FRAME[::2, ::2])
    double = changed("enlarged", image(), value=2)
    np.testing.assert_array_equal(messages.image_view(double)[::2, ::2], FRAME)
    for name in ("encoding", "lying"):
        with pytest.raises(messages.LnnError):
            messages.image_view(changed(name, image()))


def test_changes_of_compressed_content() -> None:
    kind, _, compressed = relay.DERIVED["image/compressed"]
    payload = compressed(image())
    np.testing.assert_array_equal(messages.image_view(deserialize_message(payload, kind)), FRAME)
    assert stamp_ns(payload) == stamp_ns(image())
    for name, sentence in (("encoding", "format 'webp' is unknown"), ("noise", "could not be read"),
                           ("huge", "3600000000 pixels")):
        with pytest.raises(messages.LnnError, match=sentence):
            messages.image_view(changed(name, payload, kind, 60_000))


def test_what_a_vehicle_says() -> None:
    said = DiagnosticStatus(values=[KeyValue(key="airborne", value="true"),
                                    KeyValue(key="velocity_mode", value="true")])
    found = changed("no", serialize_message(said), DiagnosticStatus)
    assert [pair.value for pair in found.values] == ["false", "true"]
    found = changed("nonsense", serialize_message(said), DiagnosticStatus)
    assert [pair.value for pair in found.values] == ["perhaps", "perhaps"]


def test_walls() -> None:
    scan = changed("ranges", serialize_message(relay.GENERATED["scan"][1]()), LaserScan, 0.5)
    assert set(scan.ranges) == {0.5}
    cloud = changed("ranges", serialize_message(relay.GENERATED["points"][1]()), PointCloud2, 0.5)
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.5, rtol=1e-6)


@pytest.mark.parametrize("name", relay.TYPES)
def test_hostile_payloads_are_messages_and_the_same_every_time(name: str) -> None:
    kind = relay.TYPES[name]
    payloads = list(changes.hostile(kind, 30, 5_000_000_000))
    again = list(changes.hostile(kind, 30, 5_000_000_000))
    # What pads a payload may differ from one to the next.
    read = [str(deserialize_message(payload, kind)) for payload in payloads]
    assert read == [str(deserialize_message(payload, kind)) for payload in again]
    assert len(set(read)) > (1 if name == "Bool" else 20)
    if "header" in kind.get_fields_and_field_types():
        assert sum(stamp_ns(p) == 5_000_000_000 for p in payloads) >= 20


def test_broken_payloads_are_many_kinds_and_the_same_every_time() -> None:
    good = image()
    payloads = list(changes.broken(good, 100))
    assert payloads == list(changes.broken(good, 100))
    assert len(set(payloads)) > 90
    assert good not in payloads
    assert any(good.startswith(p) for p in payloads)
    assert any(len(p) == len(good) for p in payloads)


def test_every_change_of_the_campaign_is_there() -> None:
    from lnn_ros.nodes.faults.actions import Spoil
    from lnn_ros.nodes.faults.rows import ROWS, SHORT

    streams = {**{name: kind for name, (kind, _) in relay.RELAYED.items()},
               **{name: kind for name, (kind, _) in relay.GENERATED.items()},
               **{name: kind for name, (kind, _, _) in relay.DERIVED.items()}}
    for row in ROWS.values():
        if isinstance(row.action, Spoil):
            make(row.action.change, streams[row.action.stream], row.action.value)
    assert len(ROWS) >= 40
    assert set(SHORT) <= set(ROWS)
