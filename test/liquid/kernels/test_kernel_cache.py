"""A kernel that was compiled just now and one from numba's cache give the same bits."""

import os
import subprocess
import sys

SCRIPT = """
import hashlib
import torch
from lnn_ros.liquid.rnn import LiquidRNN
torch.set_num_threads(1)
for cell in ("flow", "ltc"):
    torch.manual_seed(0)
    model = LiquidRNN(5, 2, cell, units=24, seed=1)
    y, _ = model(torch.randn(12, 64, 5), 0.2 * torch.rand(12, 64))
    y.square().sum().backward()
    digest = hashlib.sha256(y.detach().numpy().tobytes())
    for parameter in model.parameters():
        digest.update(parameter.grad.numpy().tobytes())
    print(cell, digest.hexdigest())
"""


def test_compiled_now_and_from_the_cache_are_the_same_to_the_last_bit(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    first, second = (
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, text=True,
                       capture_output=True).stdout
        for _ in range(2))
    assert any(tmp_path.rglob("*.nbc")), "there is a cache"
    assert first == second and len(first.splitlines()) == 2
