"""The embedded simulator: one :class:`~lnn_ros.simulation.world.World`, its physics, camera and expert."""
