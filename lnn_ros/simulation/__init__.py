"""The embedded simulator: one ``World``, its physics, camera and expert."""
