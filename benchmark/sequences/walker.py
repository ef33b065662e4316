"""Recordings of a planar walker in MuJoCo: what ``benchmark/forecast.py`` predicts.

The body is modelled after gym's Walker2d (Erez, Tassa and Todorov, 2011): a torso and two legs of
three links in the vertical plane, 9 degrees of freedom, 6 motors, 17 observations (height and
pitch of the torso, 6 joint angles, 9 velocities), one frame each 8 ms. Masses, lengths, limits
and all code are our own.

It has no trained policy and would fall, so a harness of two springs holds its torso: one on the
pitch, one that carries part of the weight. Each episode draws a gait (frequency, amplitudes,
phases) that proportional-derivative control follows, and adds smooth random torques.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

SIZE = 17
FRAME_S, STEP_S = 0.008, 0.002
FRAMES = 400
"""Frames of an episode: 3.2 s."""
CACHE = Path(__file__).resolve().parents[2] / "runs" / "walker"

GAINS = np.array([120.0, 100.0, 40.0, 120.0, 100.0, 40.0])
DAMPING = np.array([4.0, 3.0, 1.0, 4.0, 3.0, 1.0])
REST = np.array([0.15, -0.35, 0.2, 0.15, -0.35, 0.2])
TORQUE_NOISE, TORQUE_NOISE_S = 0.15, 0.1
"""Part of the largest torque, and correlation time, of the random torques."""

LEG = """
      <body name="{side}_thigh" pos="0 0 -0.25">
        <joint name="{side}_hip" range="-60 100" damping="1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.42" size="0.05" mass="4"/>
        <body name="{side}_shin" pos="0 0 -0.42">
          <joint name="{side}_knee" range="-140 0" damping="1"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.42" size="0.04" mass="2.6"/>
          <body name="{side}_foot" pos="0 0 -0.42">
            <joint name="{side}_ankle" range="-45 45" damping="0.5"/>
            <geom type="capsule" fromto="-0.06 0 -0.04 0.16 0 -0.04" size="0.04" mass="1.2"
              friction="1.2"/>
          </body>
        </body>
      </body>"""
MODEL = """
<mujoco model="planar_walker">
  <option timestep="{step}" integrator="implicitfast"/>
  <default>
    <joint type="hinge" axis="0 -1 0" armature="0.02" limited="true"/>
    <geom condim="3" friction="0.8" contype="1" conaffinity="0"/>
    <motor ctrlrange="-1 1" ctrllimited="true"/>
  </default>
  <worldbody>
    <geom type="plane" size="50 5 1" contype="0" conaffinity="1"/>
    <body name="torso" pos="0 0 1.2">
      <joint name="forward" type="slide" axis="1 0 0" limited="false" armature="0"/>
      <joint name="up" type="slide" axis="0 0 1" limited="false" armature="0" stiffness="400"
        springref="0.25" damping="20"/>
      <joint name="pitch" limited="false" armature="0" stiffness="200" damping="5"/>
      <geom type="capsule" fromto="0 0 -0.25 0 0 0.3" size="0.06" mass="9"/>{legs}
    </body>
  </worldbody>
  <actuator>
    <motor joint="right_hip" gear="120"/>
    <motor joint="right_knee" gear="100"/>
    <motor joint="right_ankle" gear="50"/>
    <motor joint="left_hip" gear="120"/>
    <motor joint="left_knee" gear="100"/>
    <motor joint="left_ankle" gear="50"/>
  </actuator>
</mujoco>
"""


def model() -> mujoco.MjModel:
    """Build the walker."""
    legs = "".join(LEG.format(side=side) for side in ("right", "left"))
    return mujoco.MjModel.from_xml_string(MODEL.format(step=STEP_S, legs=legs))


def episode(body: mujoco.MjModel, seed: int) -> NDArray[np.float64]:
    """Simulate one episode; observations, shape (FRAMES, 17)."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(body)
    data.qpos[1] = rng.uniform(-0.02, 0.02)
    data.qpos[2] = rng.normal(0.0, 0.05)
    data.qpos[3:] = REST + rng.normal(0.0, 0.1, 6)
    data.qvel[:] = rng.normal(0.0, 0.1, 9)
    data.qvel[0] = rng.uniform(0.0, 1.0)
    gear = body.actuator_gear[:, 0]
    frequency = rng.uniform(0.8, 2.2)
    swing = rng.uniform(0.15, 0.5) * np.array([1.0, 0.9, 0.4])
    # The knee bends while the hip swings forward, a quarter of a period ahead of it.
    quarter = np.array([0.0, -0.5 * np.pi, 0.0])
    phase = rng.uniform(0.0, 2 * np.pi) + quarter + rng.normal(0.0, 0.3, 3)
    phases = np.concatenate([phase, phase + np.pi])
    swings = np.tile(swing, 2)
    keep = np.exp(-FRAME_S / TORQUE_NOISE_S)
    noise = np.zeros(6)
    frames = np.empty((FRAMES, SIZE))
    for k in range(FRAMES):
        q, v = data.qpos, data.qvel
        frames[k] = np.concatenate([q[1:], v])
        noise = keep * noise + np.sqrt(1 - keep**2) * rng.normal(0.0, TORQUE_NOISE, 6)
        wanted = REST + swings * np.sin(2 * np.pi * frequency * k * FRAME_S + phases)
        torque = GAINS * (wanted - q[3:]) - DAMPING * v[3:]
        data.ctrl[:] = np.clip(torque / gear + noise, -1.0, 1.0)
        mujoco.mj_step(body, data, round(FRAME_S / STEP_S))
    return frames


def recordings(first: int, count: int) -> NDArray[np.float64]:
    """Episodes ``first`` to ``first + count - 1``, shape (count, FRAMES, 17); cached in a file.

    The same on every call. Another version of MuJoCo may round differently: the cache is its own.
    """
    source = Path(__file__).read_bytes() + mujoco.__version__.encode()
    name = f"{hashlib.sha256(source).hexdigest()[:16]}-{first}-{count}.npy"
    path = CACHE / name
    if path.exists():
        return np.load(path, allow_pickle=False)
    body = model()
    frames = np.stack([episode(body, first + k) for k in range(count)])
    CACHE.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    with half.open("wb") as file:
        np.save(file, frames)
    half.replace(path)
    return frames
