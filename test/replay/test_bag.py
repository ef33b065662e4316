"""Bags of every storage and distribution are read; damaged ones end in one sentence."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from bags import DIAGNOSTICS, IMAGE, IMU, INFO, MS, NEWEST, START_NS, Maker, flight, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

from lnn_ros.errors import LnnError
from lnn_ros.messages import stamp_ns
from lnn_ros.replay.bag import Bag, Topic, peek_stamp_ns

DISTRIBUTIONS = [Stores.ROS2_HUMBLE, Stores.ROS2_JAZZY, Stores.ROS2_KILTED, NEWEST]
BOTH = pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
READ = ("/image", IMAGE), ("/imu", IMU)


def contents(path: Path, kinds: tuple[str, ...] = (IMAGE, IMU)) -> list[tuple[int, str, int]]:
    """Return log time, topic and stamp of everything, decoded."""
    with Bag(path) as bag:
        topics = bag.topics(kinds)
        return [(log_ns, topic.name, stamp_ns(bag.decode(topic, payload)))
                for log_ns, topic, payload in bag.messages(topics)]


def expected(logged: list) -> list[tuple[int, str, int]]:
    return [(log_ns, topic, stamp_ns(message)) for log_ns, topic, message in logged]


@pytest.fixture(scope="module")
def logged() -> list:
    return flight(1, seconds=0.5)


@BOTH
@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda store: store.value)
def test_every_distribution_is_read_from_both_storages(tmp_path, logged, plugin, distribution):
    path = write_bag(tmp_path / "bag", logged, plugin, Maker(distribution))
    assert contents(path) == expected(logged)
    with Bag(path) as bag:
        assert [(t.name, t.kind) for t in bag.topics((IMAGE, IMU))] == list(READ)
        assert sum(t.count for t in bag.topics((IMAGE, IMU))) == len(logged)
        assert bag.span_ns == (logged[0][0], logged[-1][0])


@BOTH
@pytest.mark.parametrize("compression", [CompressionMode.FILE, CompressionMode.MESSAGE,
                                         CompressionMode.STORAGE])
def test_compressed_bags_are_read(tmp_path, logged, plugin, compression):
    if (plugin, compression) == (StoragePlugin.SQLITE3, CompressionMode.STORAGE):
        return  # there is no such thing
    path = write_bag(tmp_path / "bag", logged, plugin, compression=compression)
    assert contents(path) == expected(logged)


def test_messages_come_in_the_order_of_their_log_times(tmp_path, logged):
    shuffled = [logged[i] for i in np.random.default_rng(0).permutation(len(logged))]
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        path = write_bag(tmp_path / plugin.name, shuffled, plugin)
        assert contents(path) == expected(logged)


@pytest.mark.parametrize("kind", [IMAGE, IMU, INFO, DIAGNOSTICS, "geometry_msgs/msg/TwistStamped",
                                  "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/JointState"])
def test_definitions_are_the_same_from_humble_on(kind):
    later = [s for s in Stores if s.name.startswith("ROS2_") and s.name >= "ROS2_HUMBLE"]
    assert len({get_typestore(store).hash_rihs01(kind) for store in [*later, Stores.LATEST]}) == 1


def test_bag_without_definitions_is_read(tmp_path, logged):
    path = write_bag(tmp_path / "bag", logged, StoragePlugin.SQLITE3, Maker(Stores.ROS2_HUMBLE), 8)
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as database:  # as Humble's recorder leaves it
        database.execute("UPDATE schema SET schema_version = 3")
        database.execute("DROP TABLE message_definitions")
    database.close()
    assert contents(path) == expected(logged)


def test_definition_in_the_bag_counts(tmp_path):
    """A field that the bag's own definition names otherwise is named so."""
    maker = Maker()
    logged = [(START_NS, "/imu", maker.imu(START_NS, np.arange(6.0)))]
    path = write_bag(tmp_path / "bag", logged)
    (file,) = path.glob("*.mcap")
    data = file.read_bytes()
    old, new = b"Vector3 linear_acceleration\n", b"Vector3 linear_accelerasion\n"
    assert data.count(old) == 2  # where it is written, and in the summary
    file.write_bytes(data.replace(old, new))
    with Bag(path) as bag:
        (topic,) = bag.topics((IMU,))
        ((_, _, payload),) = bag.messages([topic])
        assert bag.decode(topic, payload).linear_accelerasion.z == 5.0


@given(st.integers(-2**31, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_stamp_is_peeked_as_it_is_decoded(seconds, nanoseconds):
    maker = Maker()
    message = maker.imu(START_NS, np.zeros(6))
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    for little in (True, False):
        payload = bytes(maker.store.serialize_cdr(message, IMU, little_endian=little))
        assert peek_stamp_ns(payload) == seconds * 1_000_000_000 + nanoseconds
    assert peek_stamp_ns(payload[:11]) is None


# Damage

def test_what_is_no_bag_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("no bag")
    for path, said in ((tmp_path / "nothing", "does not exist"),
                       (tmp_path / "folder", "has no metadata.yaml"),
                       (tmp_path / "file.txt", "cannot be read as a rosbag2")):
        with pytest.raises(LnnError, match=said), Bag(path):
            pass


@pytest.mark.parametrize("metadata", ["", "{", "a: 1", "[1, 2]", "rosbag2_bagfile_information: 3",
                                      "rosbag2_bagfile_information: {version: 99}",
                                      "\x00\x01", "x: &a [*a, *a]"])
def test_damaged_metadata_is_said(tmp_path, logged, metadata):
    path = write_bag(tmp_path / "bag", logged[:5])
    (path / "metadata.yaml").write_text(metadata)
    with pytest.raises(LnnError, match="cannot be read as a rosbag2"), Bag(path):
        pass


@BOTH
def test_missing_file_is_said(tmp_path, logged, plugin):
    path = write_bag(tmp_path / "bag", logged[:5], plugin)
    for file in path.glob("bag.*"):
        file.unlink()
    with pytest.raises(LnnError, match="cannot be read as a rosbag2"), Bag(path):
        pass


@pytest.fixture(scope="module", params=[StoragePlugin.MCAP, StoragePlugin.SQLITE3],
                ids=lambda plugin: plugin.value)
def small(tmp_path_factory, request) -> Path:
    return write_bag(tmp_path_factory.mktemp("whole") / "bag", flight(2, seconds=0.1),
                     request.param)


def damaged(small: Path, folder: Path, change) -> Path:
    """Copy a bag with its data changed."""
    path = folder / "bag"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(small, path)
    (file,) = (f for f in path.iterdir() if f.suffix in (".mcap", ".db3"))
    file.write_bytes(change(bytearray(file.read_bytes())))
    return path


def complaint(action) -> str:
    """Return the sentence in which something ends; empty if it ends well."""
    try:
        action()
    except LnnError as error:
        return str(error) or "no sentence"
    return ""


def read_all(path: Path) -> None:
    """Read everything, whether it can be decoded or not."""
    with Bag(path) as bag:
        for _, topic, payload in bag.messages(bag.topics((IMAGE, IMU))):
            assert "\n" not in complaint(lambda t=topic, p=payload: bag.decode(t, p))


@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_file_ends_in_one_sentence(tmp_path_factory, small, share):
    path = damaged(small, tmp_path_factory.getbasetemp(), lambda d: d[:int(share * len(d))])
    said = complaint(lambda: contents(path))
    assert "\n" not in said
    assert not said or str(path) in said or "topic /im" in said
    if not said and list(path.glob("*.mcap")):  # which says where it ends, so all is there
        assert set(contents(path)) == set(expected(flight(2, seconds=0.1)))


@settings(max_examples=100)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
                        min_size=1, max_size=20))
def test_flipped_bytes_never_end_in_anything_but_one_sentence(tmp_path_factory, small, changes):
    def flip(data: bytearray) -> bytearray:
        for share, byte in changes:
            data[int(share * len(data))] = byte
        return data

    path = damaged(small, tmp_path_factory.getbasetemp(), flip)
    assert "\n" not in complaint(lambda: read_all(path))


@given(payload=st.binary(max_size=200))
def test_bytes_that_are_no_message_are_one_sentence(tmp_path_factory, small, payload):
    with Bag(small) as bag:
        for topic in (Topic("/image", IMAGE, 1), Topic("/imu", IMU, 1)):
            said = complaint(lambda topic=topic: bag.decode(topic, payload))
            assert "\n" not in said
            assert topic.name in said or not said


def test_only_types_that_are_asked_for_are_read(tmp_path):
    """A hostile name of another type is never made code of."""
    maker = Maker()
    logged = [(START_NS + i * MS, topic, message) for i, (topic, message) in enumerate((
        ("/imu", maker.imu(START_NS, np.zeros(6))),
        ("/d", maker.diagnostics(START_NS, {}))))]
    path = write_bag(tmp_path / "bag", logged)
    for file in path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"diagnostic_msgs/msg/DiagnosticArray",
                                                   b"x:\n  raise SystemExit(1) #/msg/abcd"))
    # Whether rosbags opens it at all is its own affair; no code runs.
    said = complaint(lambda: contents(path, (IMU,)))
    assert "cannot be read" in said or not said
