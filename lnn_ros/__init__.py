"""Liquid neural networks that fly and drive ROS 2 robots on the sensors' real message times."""
