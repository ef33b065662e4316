"""The controller's eye: images as the camera that the policy knows would have taken them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import CameraModel, Mounting, VirtualCamera
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.remap import Rectifier

_IMAGES = 10  # in the queue
_STAMP_END = 12  # bytes of a payload: how it is encoded, and the stamp


class Eye:
    """The camera's subscriptions, and what turns an image into the policy's frame.

    Parameters
    ----------
    node : Node
        Where to subscribe.
    settings : ControllerSettings
        What the camera is like.
    virtual : VirtualCamera
        What the policy was trained with.
    complaints : Complaints
        Where unusable calibrations are counted and said.
    group : DrainedGroup
        Of the drained subscriptions.
    wake : callable, optional
        Called when an image has come.

    Raises
    ------
    LnnError
        When the camera's field of view shows too little of what the policy has to see.
    """

    def __init__(self, node: Node, settings: ControllerSettings, virtual: VirtualCamera,
                 complaints: Complaints, group: DrainedGroup,
                 wake: Callable[[], None] | None = None) -> None:
        camera = settings.camera
        self._node, self._complaints, self._group = node, complaints, group
        self._calibration = b""
        self._mounting = Mounting(camera.roll, camera.pitch, camera.yaw)
        self._camera: CameraModel | float | None = (
            math.radians(camera.fov_deg) if camera.fov_deg else None)
        self.aim(virtual)
        # As image_transport names it: remapping `image` is enough.
        kind, topic = ((CompressedImage, node.resolve_topic_name("image") + "/compressed")
                       if settings.image_transport == "compressed" else (Image, "image"))
        quality = qos.sensor(_IMAGES, settings.lockstep)
        self._infos = ([Drain(node, CameraInfo, "camera_info", quality, group)] if camera.info
                       else [])
        self.drain = Drain(node, kind, topic, quality, group, wake)

    def aim(self, virtual: VirtualCamera) -> None:
        """Take another policy's camera."""
        rectifier = (None if self._camera is None
                     else Rectifier(virtual, self._camera, self._mounting))
        self._virtual, self._rectifier = virtual, rectifier

    @property
    def trouble(self) -> str:
        """Why images cannot be used yet, or nothing."""
        if self._rectifier is not None or not self._infos:
            return ""
        return (f"no usable camera info has come on {self._infos[0].topic}: expected one, or the "
                f"parameter camera.fov_deg")

    def discover(self) -> None:
        """Read a latched calibration as well, if one is offered; to be called now and then.

        No single quality reads those that come with every image and one that came long ago, and to
        ask for what a camera does not offer would be a warning in its log.
        """
        if len(self._infos) == 1:
            topic = self._infos[0].topic
            if any(offer.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
                   for offer in self._node.get_publishers_info_by_topic(topic)):
                self._infos.append(Drain(self._node, CameraInfo, "camera_info", qos.LATCHED,
                                         self._group))

    def look(self) -> None:
        """Take in the newest calibration."""
        for drain in self._infos:
            for payload, _ in drain.take():
                self._calibrate(payload)

    def frame(self, message: Any) -> NDArray[np.uint8]:
        """Return an image's frame (H, W, C) for the policy.

        Raises
        ------
        LnnError
            When the message is no usable image, or what the camera sees is not known.
        """
        if self._rectifier is None:
            raise LnnError(self.trouble)
        return self._rectifier(messages.image_view(message))

    def close(self) -> None:
        """End the subscriptions."""
        for drain in (self.drain, *self._infos):
            drain.close()

    def _calibrate(self, payload: bytes) -> None:
        # The same but for its stamp, most of the time. (What pads a payload may differ from one to
        # the next, which only takes the long way.)
        if payload[_STAMP_END:] == self._calibration:
            self._complaints.fine("camera_info")
            return
        try:
            camera = messages.camera_model(deserialize_message(payload, CameraInfo))
            if camera != self._camera:
                rectifier = Rectifier(self._virtual, camera, self._mounting)
                self._camera, self._rectifier = camera, rectifier
                self._node.get_logger().info(
                    f"camera of {camera.width}x{camera.height} pixels: sees "
                    f"{rectifier.coverage:.0%} of what the policy looks at")
            self._calibration = payload[_STAMP_END:]
        except LnnError as error:
            self._complaints.report("camera_info", "content", str(error))
        except Exception as error:  # rclpy's RMWError, or whatever a hostile payload provokes
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._complaints.report("camera_info", "undecodable",
                                    f"{len(payload)} bytes are no CameraInfo: {reason}")
        else:
            self._complaints.fine("camera_info")
