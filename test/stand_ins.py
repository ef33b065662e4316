"""Messages for tests: rclpy's own where they are installed, else stand-ins with the same fields.

A stand-in has the fields of its ``.msg`` file, no others, and is as particular as rclpy about what
they take: a whole number is no float to it, a number no truth value. The fields are facts about
PX4/px4_msgs (main and release/1.14 to 1.18), mavlink/mavros (ros2), ArduPilot/ardupilot and
IMRCLab/crazyswarm2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.nodes.message_types import message_type

STAMPED = "std_msgs/msg/Header header, "
FIELDS = {
    "mavros_msgs/msg/PositionTarget": STAMPED + "uint8 coordinate_frame, uint16 type_mask, "
    "geometry_msgs/msg/Point position, geometry_msgs/msg/Vector3 velocity, "
    "geometry_msgs/msg/Vector3 acceleration_or_force, float32 yaw, float32 yaw_rate",
    "mavros_msgs/msg/State": STAMPED + "bool connected, bool armed, bool guided, "
    "bool manual_input, string mode, uint8 system_status",
    "mavros_msgs/msg/ExtendedState": STAMPED + "uint8 vtol_state, uint8 landed_state",
    "ardupilot_msgs/msg/Status": STAMPED + "uint8 vehicle_type, bool armed, uint8 mode, "
    "bool flying, bool external_control",  # and a list of failsafes, which nobody reads
    "px4_msgs/msg/OffboardControlMode": "uint64 timestamp, bool position, bool velocity, "
    "bool acceleration, bool attitude, bool body_rate, bool thrust_and_torque, "
    "bool direct_actuator",
    "px4_msgs/msg/TrajectorySetpoint": "uint64 timestamp, float32[3] position, "
    "float32[3] velocity, float32[3] acceleration, float32[3] jerk, float32 yaw, "
    "float32 yawspeed",
    # Of the many fields of these only those that every version has and that are read.
    "px4_msgs/msg/VehicleStatus": "uint64 timestamp, uint8 arming_state, uint8 nav_state",
    "px4_msgs/msg/VehicleLandDetected": "uint64 timestamp, bool ground_contact, "
    "bool maybe_landed, bool landed",
    "px4_msgs/msg/VehicleAttitude": "uint64 timestamp, uint64 timestamp_sample, float32[4] q",
    "crazyflie_interfaces/msg/Hover": STAMPED + "float32 vx, float32 vy, float32 yaw_rate, "
    "float32 z_distance",
    "crazyflie_interfaces/msg/Status": STAMPED + "uint16 supervisor_info",
}


class StandIn:
    """A message of the fields that are listed for its type."""

    def __init__(self, kind: str) -> None:
        fields = dict(reversed(field.split()) for field in FIELDS[kind].split(", "))
        object.__setattr__(self, "_types", fields)
        for name, wanted in fields.items():
            object.__setattr__(self, name, _default(wanted))

    def __setattr__(self, name: str, value: Any) -> None:
        wanted = self._types[name]  # a field that there is not: KeyError
        if wanted.startswith("uint"):
            assert type(value) is int and 0 <= value < 2 ** int(wanted[4:]), (name, value)
        elif wanted in ("bool", "float32", "string"):
            expected = {"bool": bool, "float32": float, "string": str}[wanted]
            assert type(value) is expected, (name, value)
        else:
            raise AssertionError(f"{name} is filled, not replaced")
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return repr({name: getattr(self, name) for name in self._types})


def _default(wanted: str) -> Any:
    if "/" in wanted:
        return message(wanted)
    if wanted.endswith("]"):
        kind, _, count = wanted[:-1].partition("[")
        return np.zeros(int(count), np.dtype(kind))
    return {"bool": False, "float32": 0.0, "string": ""}.get(wanted, 0)


def message(kind: str, **values: Any) -> Any:
    """Return a message of a type ``package/msg/Name``, with some of its fields filled."""
    try:
        found = message_type(kind)()
    except LnnError:
        found = StandIn(kind)
    for name, value in values.items():
        setattr(found, name, value)
    return found
