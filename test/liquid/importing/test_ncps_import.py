"""Files of ncps and keras-ncp weights: what is taken over, and what is refused in a sentence."""

import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ncps.torch import LTC, CfC
from ncps.wirings import NCP, AutoNCP, FullyConnected, Random, Wiring
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import load_cell
from lnn_ros.liquid.importing.ncps_import import from_ncps
from lnn_ros.liquid.importing.ncps_weights import read_weights
from lnn_ros.liquid.rnn_files import load_rnn


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def stored(module, path):
    save_file({name: p.contiguous() for name, p in module.state_dict().items()}, path)
    return path


def as_json(settings, path):
    path.write_text(json.dumps(settings, default=int))
    return path


def sequence(inputs, steps=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, steps, inputs)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(rng.uniform(0.05, 2.0, (1, steps))).float()


NETWORKS = {
    "dense": lambda: CfC(4, 7, proj_size=2, backbone_units=9, backbone_layers=2),
    "pure": lambda: CfC(4, 7, mode="pure", backbone_layers=0),
    "wired": lambda: CfC(4, AutoNCP(14, 3, seed=1)),
    "random": lambda: CfC(4, Random(8, 3, 0.4)),
    "mixed": lambda: CfC(4, AutoNCP(14, 3, seed=1), mixed_memory=True),
    "ltc": lambda: LTC(4, AutoNCP(14, 3, seed=1)),
    "ltc full": lambda: LTC(4, FullyConnected(6, 2)),
    "ltc ncp": lambda: LTC(4, NCP(6, 4, 2, 2, 2, 3, 2), output_mapping=None),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_torch_becomes_a_cell_file_that_computes_the_same(name, tmp_path, capsys):
    torch.manual_seed(0)
    module = NETWORKS[name]()
    weights, out = stored(module, tmp_path / "w.safetensors"), tmp_path / "cell.safetensors"
    command = ["import", str(weights), "--out", str(out)]
    if name == "ltc ncp":  # without an output map, only a wiring knows the motor neurons
        matrices = Wiring.get_config(module.wiring_or_units)
        command += ["--wiring", str(as_json(matrices, tmp_path / "wiring.json"))]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "parity: outputs agree with those of ncps.torch" in said
    x, dt = sequence(4)
    expected, _ = module(x, timespans=dt)
    found, _ = load_rnn(out)(x, dt)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert load_cell(out).source["weights"] == "w.safetensors"


@pytest.mark.parametrize("kind", ["AutoNCP", "FullyConnected", "Random", "matrices", "layers"])
def test_a_wiring_from_json_brings_the_signs(kind, tmp_path):
    drawn = {
        "FullyConnected": lambda: FullyConnected(9, 2, self_connections=False),
        "Random": lambda: Random(9, 2, 0.5),
    }.get(kind, lambda: AutoNCP(14, 3, 0.6, seed=4))()
    module = LTC(4, drawn)
    settings = drawn.get_config()
    if kind in ("matrices", "layers"):
        settings = Wiring.get_config(drawn)
    if kind == "layers":
        settings["layers"] = [drawn.get_neurons_of_layer(i) for i in range(3)]
    weights = stored(module, tmp_path / "w.safetensors")
    path = as_json(settings, tmp_path / "wiring.json")
    out = tmp_path / "cell.safetensors"
    assert main(["import", str(weights), "--wiring", str(path), "--out", str(out)]) == 0
    imported = from_ncps(read_weights(weights), json.loads(path.read_text()))
    sensory, neurons = imported.wiring.adjacency()
    order = imported.order
    np.testing.assert_array_equal(sensory, drawn.sensory_adjacency_matrix[:, order])
    np.testing.assert_array_equal(neurons, drawn.adjacency_matrix[np.ix_(order, order)])
    assert len(imported.wiring.layers) == (3 if kind in ("AutoNCP", "layers") else 1)


def test_without_ncps_matrices_are_enough_and_no_check_is_said(tmp_path, capsys, monkeypatch):
    drawn = AutoNCP(14, 3)
    weights = stored(CfC(4, drawn), tmp_path / "w.safetensors")
    matrices = as_json(Wiring.get_config(drawn), tmp_path / "matrices.json")
    settings = as_json(drawn.get_config(), tmp_path / "settings.json")
    for name in [n for n in sys.modules if n.partition(".")[0] == "ncps"]:
        monkeypatch.setitem(sys.modules, name, None)
    command = ["import", str(weights), "--out", str(tmp_path / "cell"), "--wiring"]
    assert main([*command, str(matrices)]) == 0
    assert "not checked: ncps is not installed" in capsys.readouterr().out
    assert main([*command, str(settings)]) == 2
    assert "only ncps can draw" in capsys.readouterr().err


# -- keras: no package of the tests, so its maths is written down here ---------------------------


def keras_cell(name, rows, units, rng):
    """Weights of one CfC cell in keras's order, under its paths."""
    shapes = {
        "ff1_weight": (rows, units), "ff1_bias": (units,),
        "ff2_weight": (rows, units), "ff2_bias": (units,),
        "time_a/kernel": (rows, units), "time_a/bias": (units,),
        "time_b/kernel": (rows, units), "time_b/bias": (units,),
    }  # fmt: skip
    return {f"{name}/{key}": rng.normal(size=s).astype(np.float32) for key, s in shapes.items()}


def keras_step(w, name, z, mask, t):
    """One CfC of keras: heads without tanh, the wiring's signs as a mask, the gate's minus."""
    f1 = z @ (w[f"{name}/ff1_weight"] * mask) + w[f"{name}/ff1_bias"]
    f2 = z @ (w[f"{name}/ff2_weight"] * mask) + w[f"{name}/ff2_bias"]
    a = z @ w[f"{name}/time_a/kernel"] + w[f"{name}/time_a/bias"]
    b = z @ w[f"{name}/time_b/kernel"] + w[f"{name}/time_b/bias"]
    share = sigmoid(-a * t + b)
    return f1 * (1 - share) + share * f2


def keras_network(drawn, inputs):
    """Weights, and outputs for one sequence, of a keras CfC over an ncps wiring."""
    rng = np.random.default_rng(3)
    drawn.build(inputs)
    layers = [drawn.get_neurons_of_layer(i) for i in range(drawn.num_layers)]
    w, masks, sources = {}, [], inputs
    for i, here in enumerate(layers):
        feed = (
            drawn.adjacency_matrix[np.ix_(layers[i - 1], here)] if i
            else drawn.sensory_adjacency_matrix[:, here]
        )  # fmt: skip
        masks.append(np.concatenate([feed, np.ones((len(here), len(here)))]))
        w.update(keras_cell(f"cfc/cell_{i}", sources + len(here), len(here), rng))
        sources = len(here)
    x, dt = rng.normal(size=(5, inputs)), rng.uniform(0.1, 2.0, 5)
    states, outputs = [np.zeros(len(here)) for here in layers], []
    for u, t in zip(x, dt, strict=True):
        for i in range(len(layers)):
            u = keras_step(w, f"cfc/cell_{i}", np.concatenate([u, states[i]]), masks[i], t)
            states[i] = u
        outputs.append(u[: drawn.output_dim])
    return w, x, dt, np.array(outputs)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("drawn", [AutoNCP(14, 3), Random(7, 2, 0.4)], ids=["ncp", "random"])
def test_keras_weights_compute_what_keras_does(drawn, suffix, tmp_path, capsys):
    w, x, dt, outputs = keras_network(drawn, 4)
    arrays = {f"{i}/{name}": value for i, (name, value) in enumerate(w.items())}
    arrays |= {"sample.inputs": x, "sample.timespans": dt, "sample.outputs": outputs}
    path, out = tmp_path / f"w.{suffix}", tmp_path / "cell.safetensors"
    np.savez(path, **arrays) if suffix == "npz" else save_arrays(arrays, path)
    settings = {**Wiring.get_config(drawn), "layers": [
        drawn.get_neurons_of_layer(i) for i in range(drawn.num_layers)]}  # fmt: skip
    wiring = as_json(settings, tmp_path / "wiring.json")
    assert main(["import", str(path), "--wiring", str(wiring), "--out", str(out)]) == 0
    assert "agree with those of the stored sample" in capsys.readouterr().out
    found, _ = load_rnn(out)(torch.tensor(x[None]).float(), torch.tensor(dt[None]).float())
    np.testing.assert_allclose(found[0].detach(), outputs, rtol=1e-4, atol=1e-4)


def test_a_sample_that_differs_writes_nothing(tmp_path, capsys):
    w, x, dt, outputs = keras_network(AutoNCP(14, 3), 4)
    outputs[3, 1] += 0.01 * np.abs(outputs).max()
    arrays = {f"{i}/{name}": value for i, (name, value) in enumerate(w.items())}
    arrays |= {"sample.inputs": x, "sample.timespans": dt, "sample.outputs": outputs}
    np.savez(tmp_path / "w.npz", **arrays)
    wiring = as_json(AutoNCP(14, 3).get_config(), tmp_path / "wiring.json")
    out = tmp_path / "cell.safetensors"
    command = ["import", str(tmp_path / "w.npz"), "--wiring", str(wiring), "--out", str(out)]
    assert main(command) == 2
    assert "outputs differ from those of the stored sample" in capsys.readouterr().err
    assert not out.exists()


def test_an_ltc_of_keras_has_torch_s_names_and_the_wiring_as_its_masks():
    module = LTC(4, AutoNCP(14, 3), implicit_param_constraints=False)
    arrays = {
        f"{i}/ltc/{name.removeprefix('rnn_cell.')}": p.numpy()
        for i, (name, p) in enumerate(module.state_dict().items())
        if "sparsity_mask" not in name
    }
    imported = from_ncps(arrays, AutoNCP(14, 3))
    x, dt = sequence(4)
    expected = module(x, timespans=dt)[0][0].detach().numpy()
    found = imported.run(x[0].numpy().astype(float), dt[0].numpy().astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(LnnError, match="expected a wiring beside"):
        from_ncps(arrays)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pt", "pth", "pkl", "h5", "keras"])
def test_files_that_could_run_code_are_refused_with_the_line_that_converts_them(suffix, tmp_path):
    with pytest.raises(LnnError, match=r"convert it with .*(save_file|savez)"):
        read_weights(tmp_path / f"w.{suffix}")


def test_objects_in_an_npz_are_refused(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, gleak=np.array([{"a": 1}], dtype=object))
    with pytest.raises(LnnError, match="damaged"):
        read_weights(path)


@given(content=st.binary(max_size=200), suffix=st.sampled_from(["npz", "safetensors"]))
def test_any_bytes_are_refused_in_a_sentence(content, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes") / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(LnnError, match=path.name):
        read_weights(path)


def changed(**changes):
    """Weights of an LTC with some of them changed; None: left out."""
    arrays = {n: p.numpy() for n, p in LTC(3, AutoNCP(8, 2)).state_dict().items()}
    arrays |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in arrays.items() if value is not None}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "neither ff1 nor gleak"),
        (changed(rnn_cell__cm=None), "cm is missing"),
        (changed(rnn_cell__mu=np.zeros((3, 3))), "mu has shape"),
        (changed(head__weight=np.zeros(3)), "head.weight found"),
        (changed(rnn_cell__cm=np.full(8, np.nan)), "no finite number"),
        (changed(rnn_cell__sparsity_mask=np.full((8, 8), 0.5)), "expected a mask"),
        (changed(rnn_cell__output_w=None, rnn_cell__output_b=None), "motor neurons"),
        (changed(lstm__input_map__weight=np.zeros((1, 1))), "mixed memory"),
        ({"0/mm/recurrent_kernel": np.zeros((2, 8))}, "mixed memory"),
        ({"ff1_weight": np.zeros((3, 3)), "x/ff2_weight": np.zeros((3, 3))}, "missing|inputs"),
    ],
)
def test_weights_that_are_no_network_of_ncps_are_refused(arrays, said):
    with pytest.raises(LnnError, match=said):
        from_ncps(arrays)


@pytest.mark.parametrize(
    ("wiring", "said"),
    [
        ({}, "no entries"),
        ({"units": 3}, "expected adjacency_matrix"),
        ({"adjacency_matrix": [[1]], "sensory_adjacency_matrix": [[1]]}, "shape"),
        ({"adjacency_matrix": "x", "sensory_adjacency_matrix": None}, "shape|malformed"),
        ({"adjacency_matrix": [[1, 2], [3]], "sensory_adjacency_matrix": 0}, "malformed"),
        (AutoNCP(9, 2), "expected 8"),
        (AutoNCP(8, 2, seed=1), "other synapses"),
        (AutoNCP(8, 2, seed=1).get_config(), "other synapses"),
        (AutoNCP(8, 2).get_config() | {"units": 10**9}, "units"),
        (AutoNCP(8, 2).get_config() | {"sparsity_level": 7}, "cannot be drawn"),
    ],
)
def test_wirings_that_do_not_fit_are_refused(wiring, said):
    with pytest.raises(LnnError, match=said):
        from_ncps(changed(), wiring)


def test_layers_that_a_synapse_skips_are_refused():
    drawn = AutoNCP(8, 2)
    module = LTC(3, drawn)
    motor, command, inter = (drawn.get_neurons_of_layer(i) for i in (2, 1, 0))
    arrays = {name: p.numpy().copy() for name, p in module.state_dict().items()}
    settings = {**Wiring.get_config(drawn), "layers": [inter, command, motor]}
    settings["adjacency_matrix"][inter[0]][motor[0]] = 1
    arrays["rnn_cell.sparsity_mask"][inter[0], motor[0]] = 1
    with pytest.raises(LnnError, match="skips a layer"):
        from_ncps(arrays, settings)


def test_a_wiring_file_that_is_none_is_refused(tmp_path, capsys):
    weights = stored(CfC(4, 5), tmp_path / "w.safetensors")
    for content in (b"[1]", b"\xff", b"", b"[" * 100_000):
        (tmp_path / "wiring.json").write_bytes(content)
        command = ["import", str(weights), "--wiring", str(tmp_path / "wiring.json")]
        assert main([*command, "--out", str(tmp_path / "cell")]) == 2
        error = capsys.readouterr().err
        assert "no JSON mapping" in error
        assert error.count("\n") == 1
