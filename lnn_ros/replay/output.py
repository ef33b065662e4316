"""The replay's commands and neurons as a rosbag2, to be looked at beside the bag that was read."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_typestore

from lnn_ros.errors import LnnError
from lnn_ros.messages import fill_command, set_time
from lnn_ros.replay.driving import Command

COMMANDS, NEURONS = "/replay/cmd_vel", "/replay/neurons"
"""Names that no recorded topic has, so that both bags can be shown together."""
_TWIST, _NEURONS = "geometry_msgs/msg/TwistStamped", "sensor_msgs/msg/JointState"
_FRAME = "base_link"


class Output:
    """A rosbag2 (MCAP) being written, to be used as a context; an error leaves nothing.

    Parameters
    ----------
    path : Path
        Its folder, which must not exist.

    Raises
    ------
    LnnError
        On entering, when it exists or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Any = get_typestore(Stores.LATEST)

    def __enter__(self) -> Output:
        try:
            self._writer = Writer(self._path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise LnnError(f"bag {self._path} cannot be made ({error}): expected a new folder's "
                           f"name, in one that can be written to") from error
        self._commands = self._writer.add_connection(COMMANDS, _TWIST, typestore=self._store)
        self._neurons = self._writer.add_connection(NEURONS, _NEURONS, typestore=self._store)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self._writer.close()
        else:
            self._writer.abort()
            shutil.rmtree(self._path, ignore_errors=True)  # made by us: it did not exist

    def write(self, log_ns: int, at_ns: int, command: Command, neurons: dict[str, float]) -> None:
        """Append a command and the neurons behind it, as of an instant (ns)."""
        make = self._store.types
        vector, header = make["geometry_msgs/msg/Vector3"], make["std_msgs/msg/Header"]
        time = make["builtin_interfaces/msg/Time"]
        twist = make[_TWIST](
            header(time(0, 0), ""),
            make["geometry_msgs/msg/Twist"](vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0)))
        fill_command(twist, command, at_ns, _FRAME)
        nothing = np.zeros(0)
        activity = make[_NEURONS](header(time(0, 0), ""), list(neurons),
                                  np.array(list(neurons.values())), nothing, nothing)
        set_time(activity.header.stamp, at_ns)
        for connection, message in ((self._commands, twist), (self._neurons, activity)):
            payload = self._store.serialize_cdr(message, connection.msgtype)
            self._writer.write(connection, log_ns, payload)
