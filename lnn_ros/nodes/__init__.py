"""The processes: thin ROS 2 nodes over the library, and the tools that need rclpy."""
