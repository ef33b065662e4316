"""Vehicles that say everything there is to say, for tests."""

from __future__ import annotations

import math

from stand_ins import message

from lnn_ros.geometry import Mounting
from lnn_ros.messages import quaternion
from lnn_ros.vehicles.base import Said, Vehicle

# As in PX4's frames: the map is north, east, down, the body forward, right, down.
FLIPPED = Mounting(roll=math.pi).rotation
NED_FROM_ENU = Mounting(yaw=math.pi / 2).rotation @ FLIPPED


def says(kind: str, *, yaw: float = 0.0, roll: float = 0.0, pitch: float = 0.0,
         height: float = 1.0, flies: bool = True, obeys: bool = True):
    """Return a message of a type by which a vehicle says where it is and whether it flies.

    The angles are those of the body (forward, left, up) in the map (east, north, up), rad.
    """
    found = message(kind)
    turned = Mounting(roll, pitch, yaw).rotation
    w, x, y, z = quaternion(turned)
    match kind.rpartition("/")[2]:
        case "PoseStamped" | "Odometry":
            pose = found.pose if kind.endswith("PoseStamped") else found.pose.pose
            q = pose.orientation
            q.w, q.x, q.y, q.z, pose.position.z = w, x, y, z, height
        case "VehicleAttitude":
            found.q[:] = quaternion(NED_FROM_ENU @ turned @ FLIPPED)
        case "VehicleStatus":
            found.arming_state, found.nav_state = 2, 14 if obeys else 4
        case "VehicleLandDetected":
            found.landed = not flies
        case "State":
            found.connected = found.armed = True
            found.mode = "OFFBOARD" if obeys else "AUTO.LOITER"
        case "ExtendedState":
            found.landed_state = 2 if flies else 1
        case "Status" if kind.startswith("ardupilot"):
            found.vehicle_type, found.armed, found.flying = 2, True, flies
            found.mode = 4 if obeys else 5
        case "Status":
            found.supervisor_info = (16 if flies else 0) | (0 if obeys else 64)
        case name:
            raise AssertionError(name)
    return found


def heard(vehicle: Vehicle, **how) -> Said:
    """Return what is known of a vehicle that has said everything."""
    said = vehicle.unheard
    for topic, kind in vehicle.says.items():
        said = vehicle.hear(said, topic, says(kind, **how))
    return said
