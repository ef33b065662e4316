"""Recorded flights to sequences; training and judging. Needs the extras ``sim`` and ``train``."""
