"""Functions of one number that the kernels have for themselves."""

import numpy as np

from lnn_ros.liquid.kernels import maths

EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
}


@maths.jit
def _all(x, out):
    for i in range(x.size):
        out[0, i] = maths.exp(x[i])
        out[1, i] = maths.expm1(x[i])
        out[2, i] = maths.tanh(x[i])
        out[3, i] = maths.sigmoid(x[i])
        out[4, i] = maths.softplus(x[i])


@maths.jit
def _turns(x, out):
    for i in range(x.size):
        out[0, i], out[1, i] = maths.turn(x[i])


def test_functions_are_exact_to_single_precision():
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-12, 1.9, 20_000)
    x = np.concatenate([sizes, -sizes, [0.0]]).astype(np.float32)
    out = np.empty((5, x.size), np.float32)
    _all(x, out)
    for row, (name, exact) in zip(out, EXACT.items(), strict=True):
        expected = exact(x.astype(np.float64))
        ulps = np.abs(row - expected) / np.spacing(np.abs(expected).astype(np.float32))
        normal = expected > 1e-37 if name in ("sigmoid", "softplus") else np.ones(x.size, bool)
        assert ulps[normal].max() <= 3.0, name


def test_turns_are_exact_to_single_precision():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(-3, 3, 20_000), np.arange(-20, 21) / 4, rng.uniform(0, 1e4, 99)]
    )
    x = x.astype(np.float32)
    out = np.empty((2, x.size), np.float32)
    _turns(x, out)
    angle = 2 * np.pi * np.mod(x.astype(np.float64), 1.0)
    assert np.abs(out[0] - np.sin(angle)).max() < 3e-7
    assert np.abs(out[1] - np.cos(angle)).max() < 3e-7


def test_functions_at_their_limits():
    x = np.array([-np.inf, -1e30, -200.0, 200.0, 1e30, np.inf, np.nan], np.float32)
    out = np.empty((5, x.size), np.float32)
    _all(x, out)
    assert np.isfinite(out[:4, :-1]).all() and np.isfinite(out[4, :-2]).all()
    assert np.isnan(out[:, -1]).all()
    np.testing.assert_allclose(out[1:, 0], [-1, -1, 0, 0], atol=1e-37)
    np.testing.assert_allclose(out[2:, 5], [1, 1, np.inf])
