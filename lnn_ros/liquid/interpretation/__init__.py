"""What a network does and why, in numpy: time constants, activity, saliency, attribution, probes.

- ``history``: run a policy over recorded observations and keep every state.
- ``time_constants``: how quickly each neuron forgets, at every observation.
- ``saliency``: which pixels of a frame matter.
- ``attribution``: how much of a command comes from the camera, the IMU, the elapsed time, memory.
- ``probes``: what can be read from the neurons by a linear map.
"""
