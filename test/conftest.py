"""What holds for all tests: threads would only fight over the cores, and no test is timed."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("lnn_ros", deadline=None)
settings.load_profile("lnn_ros")
