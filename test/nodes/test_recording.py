"""Recordings without ROS nodes: what is flushed is in the file, whatever happens next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros import read_cut
from rosbags.highlevel import AnyReader

from lnn_ros.errors import LnnError
from lnn_ros.recording import Recording

TOPICS = {"/numbers": "std_msgs/msg/Int64", "/poses": "nav_msgs/msg/Odometry",
          "/pictures": "sensor_msgs/msg/Image"}
ACTION = st.sampled_from(["flush", *TOPICS])


@settings(max_examples=25)
@given(actions=st.lists(st.tuples(ACTION, st.binary(min_size=4, max_size=300)), max_size=40))
def test_everything_up_to_the_last_flush_is_in_the_file(tmp_path_factory, actions):
    recording = Recording(tmp_path_factory.mktemp("recordings"))
    sent, safe = {}, {}
    for topic, kind in TOPICS.items():
        recording.add_topic(topic, kind, [])
    for log_ns, (action, payload) in enumerate(actions):
        if action == "flush":
            recording.flush()
            safe = {topic: list(payloads) for topic, payloads in sent.items()}
        else:
            recording.write(action, log_ns, payload)
            sent.setdefault(action, []).append(payload)
        assert read_cut(recording.path) == safe
    recording.close()
    with AnyReader([recording.path]) as reader:
        found = {}
        for connection, _, payload in reader.messages():
            found.setdefault(connection.topic, []).append(bytes(payload))
    assert found == sent
    assert recording.counts == {topic: len(payloads) for topic, payloads in sent.items()}


def test_recordings_of_the_same_second_lie_beside_each_other(tmp_path):
    recordings = [Recording(tmp_path) for _ in range(3)]
    assert len({recording.path for recording in recordings}) == 3
    for recording in recordings:
        recording.close()


def test_unknown_message_type_is_a_named_error(tmp_path):
    recording = Recording(tmp_path)
    with pytest.raises(LnnError, match="definition of no_msgs/msg/Nothing was not found"):
        recording.add_topic("/nothing", "no_msgs/msg/Nothing", [])
    recording.close()


def test_folder_that_is_a_file_is_a_named_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LnnError, match="cannot hold a recording"):
        Recording(tmp_path / "file" / "below")
