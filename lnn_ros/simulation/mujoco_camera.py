"""Pictures of a world by MuJoCo's renderer, from the camera's place, to compare with our own.

What is where is the same; light, shadows, textures, fog, sky and smoothing are MuJoCo's. It needs
OpenGL through EGL, with a GPU or in software: the embedded simulator itself does not.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation import poses
from lnn_ros.simulation.body import WALKER, add_solid
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.centreline import slabs
from lnn_ros.simulation.world import Material, Pattern, Vector, World

_TEXTURE = 64  # texels along a side
_GROUND = 100.0  # metres, half extent
_SHADOWS = 25.0  # metres about the camera within which anything has one
_NEAR, _FAR = 0.02, 400.0  # metres
_MARKS = {Pattern.PLAIN: mujoco.mjtBuiltin.mjBUILTIN_FLAT,
          Pattern.NOISE: mujoco.mjtBuiltin.mjBUILTIN_FLAT,
          Pattern.STRIPES: mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
          Pattern.CHECKER: mujoco.mjtBuiltin.mjBUILTIN_CHECKER}


@cache
def _context() -> Any:
    """Return this process's OpenGL context without a window.

    One for all renderers: what one of them frees is then its own. They draw into buffers of theirs.
    """
    try:
        from mujoco.egl import GLContext  # fails where there is no EGL

        return GLContext(1, 1)
    except Exception as error:  # whatever PyOpenGL, EGL or its driver raise
        raise LnnError(f"MuJoCo's renderer needs OpenGL through EGL (on Debian and Ubuntu: libegl1 "
                       f"and libgl1-mesa-dri), found: {type(error).__name__}: {error}") from error


class MujocoRenderer:
    """Pictures of one world.

    Parameters
    ----------
    world : World
        What is to be seen.
    geometry : CameraGeometry
        Camera and mount.

    Raises
    ------
    LnnError
        When there is no OpenGL without a window here.
    """

    def __init__(self, world: World, geometry: CameraGeometry) -> None:
        self.geometry = geometry
        self._model = _model(world, geometry)
        self._data = mujoco.MjData(self._model)
        self._world = world
        self._eye = int(self._model.body("eye").mocapid[0])
        if world.walk is not None:
            self._walker = int(self._model.body(WALKER).mocapid[0])
        self._target = self._model.geom(world.target.name).id
        cos, sin = math.cos(geometry.tilt), math.sin(geometry.tilt)
        self._mount = np.array([[cos, 0.0, -sin], [0.0, -1.0, 0.0], [sin, 0.0, cos]])
        self._mount_position = np.array(geometry.position, float)
        self._gl = _context()
        self._gl.make_current()
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + 16)
        self._drawn = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._drawn)
        self._rect = mujoco.MjrRect(0, 0, geometry.width, geometry.height)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = 0

    def render(self, position: Any, rotation: Any, target: bool = True,
               at_s: float = 0.0) -> NDArray[np.uint8]:
        """Take a picture.

        Parameters
        ----------
        position : array_like (3,)
            The body's position, metres, world frame; the mount is applied to it.
        rotation : array_like (3, 3)
            world_from_body.
        target : bool
            False shows what is behind the target.
        at_s : float
            Instant at which a target that walks is drawn, s from the start.

        Returns
        -------
        ndarray (height, width, 3) uint8
            RGB, rows from top to bottom.
        """
        origin, (forward, right, up) = poses.mounted(
            np.ascontiguousarray(position, float), np.ascontiguousarray(rotation, float),
            self._mount_position, self._mount)
        data = self._data
        data.mocap_pos[self._eye] = origin
        axes = np.stack([right, up, -forward], 1)
        mujoco.mju_mat2Quat(data.mocap_quat[self._eye], np.ascontiguousarray(axes).ravel())
        if self._world.walk is not None:
            data.mocap_pos[self._walker] = self._world.target_at(at_s)
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_camlight(self._model, data)
        self._model.geom_rgba[self._target, 3] = float(target)
        self._gl.make_current()  # somebody else may draw, too
        mujoco.mjv_updateScene(self._model, data, mujoco.MjvOption(), None, self._camera,
                               mujoco.mjtCatBit.mjCAT_ALL.value, self._scene)
        for flag in (mujoco.mjtRndFlag.mjRND_FOG, mujoco.mjtRndFlag.mjRND_SHADOW,
                     mujoco.mjtRndFlag.mjRND_SKYBOX):
            self._scene.flags[flag] = True
        mujoco.mjr_render(self._rect, self._scene, self._drawn)
        out = np.empty((self.geometry.height, self.geometry.width, 3), np.uint8)
        mujoco.mjr_readPixels(out, None, self._rect, self._drawn)
        return np.ascontiguousarray(out[::-1])


def _model(world: World, geometry: CameraGeometry) -> mujoco.MjModel:
    """Compile what is to be seen; nothing in it moves but the camera, and a target that walks."""
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = geometry.width
    spec.visual.global_.offheight = geometry.height
    # Near and far are in units of the model's extent.
    spec.stat.extent, spec.stat.center = 1.0, [0.0, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = _NEAR, _FAR
    light = world.light
    # MuJoCo's fog is linear; half of the colour is gone at the same distance.
    spec.visual.map.fogstart, spec.visual.map.fogend = 0.0, 2.0 * light.fog
    spec.visual.rgba.fog = [*light.horizon, 1.0]
    spec.visual.headlight.ambient = [light.ambient] * 3
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    # In software a finer mesh costs ten times as much, and is not to be seen.
    quality = spec.visual.quality
    quality.shadowsize = 1024
    quality.numslices, quality.numstacks, quality.numquads = 14, 8, 1
    spec.visual.map.shadowclip = _SHADOWS
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
                           builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, width=128, height=128)
    sky.rgb1, sky.rgb2 = list(light.zenith), list(light.horizon)
    x, y, z = light.direction
    spec.worldbody.add_light(
        name="sun", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[0.0, 0.0, 30.0],
        dir=[-x, -y, -z], diffuse=[light.sun] * 3, ambient=[0.0] * 3, specular=[0.0] * 3,
        castshadow=True)
    spec.worldbody.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[_GROUND, _GROUND, 1.0],
        material=_material(spec, "ground", world.ground, (_GROUND, _GROUND, 1.0)))
    for solid in world.solids:
        add_solid(spec, world, solid,
                  material=_material(spec, solid.name, solid.material, solid.size))
    if world.road is not None:
        for paint in (world.road.surface, world.road.lines):
            _material(spec, f"road_{paint is world.road.lines}", paint, (1.0, 1.0, 1.0))
        for name, centre, extents, yaw, paint in slabs(world.road):
            spec.worldbody.add_geom(
                name=name, type=mujoco.mjtGeom.mjGEOM_BOX, size=list(extents), pos=list(centre),
                quat=[math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)],
                material=f"road_{paint is world.road.lines}")
    eye = spec.worldbody.add_body(name="eye", mocap=True)
    fovy = 2.0 * math.atan(geometry.height / 2.0 / geometry.focal_length)
    eye.add_camera(name="eye", fovy=math.degrees(fovy))
    return spec.compile()


def _material(spec: Any, name: str, material: Material, size: Vector) -> str:
    """Add a material with a texture that is MuJoCo's nearest to the pattern."""
    texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D,
                               builtin=_MARKS[material.pattern], width=_TEXTURE, height=_TEXTURE)
    texture.rgb1, texture.rgb2 = list(material.color), list(material.accent)
    if material.pattern is Pattern.NOISE:
        texture.mark, texture.random = mujoco.mjtMark.mjMARK_RANDOM, 0.4
        texture.markrgb = list(material.accent)
    added = spec.add_material(name=name, specular=0.0, shininess=0.0)
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    added.textures = textures
    added.texuniform = True
    repeat = 1.0 / (4.0 * material.scale)
    added.texrepeat = [repeat, repeat]
    return name
