"""Gazebo's worlds, models and bridge, generated from what the embedded simulator is made from."""
