"""The shipped policy under every shift, beside a policy without memory, planner and teacher.

    python benchmark/robustness.py [--json FILE] [as lnn_ros evaluate --suite robustness]

It is that command: 1,000 worlds that follow from the checkpoint's weights, all rows of the suite.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lnn_ros.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["evaluate", "--suite", "robustness", *sys.argv[1:]]
    sys.exit(main())
