"""The network: numpy to run, torch to train. Knows no robot, and importing it imports no torch."""
