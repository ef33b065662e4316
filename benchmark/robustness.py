"""The shipped policy under every shift, beside a policy without memory, planner and teacher.

    python benchmark/robustness.py --feedforward FILE [--json FILE] [as lnn_ros evaluate --suite]

It is ``lnn_ros evaluate --suite robustness --controls expert teacher``: 1,000 worlds that follow
from the checkpoint's weights, all rows of the suite. The policy without memory does not ship:
``lnn_ros train --core feedforward --data RUN`` makes one from the flights of another training.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lnn_ros.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["evaluate", "--suite", "robustness", "--controls", "expert", "teacher",
                    *sys.argv[1:]]  # fmt: skip
    sys.exit(main())
