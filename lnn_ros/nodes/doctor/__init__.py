"""``lnn_ros doctor``: look at a robot's topics, clocks, frames and nodes, and say what to mend.

``collector.py`` listens and makes a ``Snapshot``; ``checks/`` judge it, one room each, by pure
functions that return findings; ``command.py`` prints them. Only the collector knows rclpy.
"""
