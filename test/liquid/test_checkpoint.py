"""Files from outside are hostile until proven otherwise."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import FEATURES, small_checkpoint
from safetensors.numpy import save as pack

from lnn_ros.errors import LnnError
from lnn_ros.liquid import container
from lnn_ros.liquid.cells import cell_type
from lnn_ros.liquid.checkpoint import (
    CELL_FORMAT,
    POLICY_FORMAT,
    CellCheckpoint,
    Checkpoint,
    load,
    load_cell,
    save,
    save_cell,
)
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.rnn_files import load_rnn, save_rnn
from lnn_ros.liquid.spec import SUMMARY
from lnn_ros.liquid.wiring import auto_ncp


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "good.safetensors"
    save(path, small_checkpoint())
    return path


def test_what_was_saved_is_loaded(good):
    saved, loaded = small_checkpoint(), load(good)
    assert loaded.spec == saved.spec
    assert {**loaded.card, "bound": None} == {**json.loads(json.dumps(saved.card)), "bound": None}
    assert loaded.weights_digest() == saved.weights_digest()
    for name, array in saved.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert not [p for p in good.parent.iterdir() if p != good], "no part file stays behind"


def refused(tmp_path, blob, words):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(blob)
    with pytest.raises(LnnError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(LnnError, match="cannot be read"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(LnnError, match="cannot be read"):
        load(tmp_path)


def test_every_truncation_is_refused(tmp_path, good):
    blob = good.read_bytes()
    for size in [*range(64), *range(64, len(blob), max(1, len(blob) // 200)), len(blob) - 1]:
        path = tmp_path / "cut.safetensors"
        path.write_bytes(blob[:size])
        with pytest.raises(LnnError):
            load(path)


@settings(max_examples=200)
@given(data=st.data())
def test_every_flipped_bit_is_refused(tmp_path_factory, good, data):
    blob = bytearray(good.read_bytes())
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flip") / "x.safetensors"
    path.write_bytes(bytes(blob))
    try:
        loaded = load(path)
    except LnnError:
        return
    # Padding and the spelling of the outer header may change without changing the policy.
    whole = load(good)
    assert loaded.weights_digest() == whole.weights_digest()
    assert loaded.card == whole.card


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_garbage_is_refused(tmp_path_factory, blob):
    path = tmp_path_factory.mktemp("garbage") / "x.safetensors"
    path.write_bytes(blob)
    with pytest.raises(LnnError):
        load(path)


def test_huge_header_and_oversize_are_refused_unread(tmp_path):
    refused(tmp_path, struct.pack("<Q", 2**63) + b"{}", "header of")
    refused(
        tmp_path,
        struct.pack("<Q", container.MAX_HEADER + 1) + bytes(container.MAX_HEADER + 9),
        "header of",
    )
    refused(tmp_path, bytes(container.MAX_BYTES + 1), "larger than")
    nested = b'{"__metadata__":' + b"[" * 100_000
    refused(tmp_path, struct.pack("<Q", len(nested)) + nested, "header is none of an")


def written(checkpoint, **metadata):
    """Bytes of a file whose digest is right, whatever else is wrong."""
    card = json.dumps(checkpoint.card)
    known = {"format": POLICY_FORMAT, "version": container.version(POLICY_FORMAT), "card": card}
    known.update(metadata)
    known["sha256"] = container.digest(known["card"], checkpoint.arrays)
    return pack(checkpoint.arrays, metadata=known)


def test_unknown_format_and_version(tmp_path):
    refused(tmp_path, written(small_checkpoint(), version="4"), "version '4' found, expected '3'")
    refused(tmp_path, written(small_checkpoint(), version="2"), "'2' .*: train or import it again")
    refused(tmp_path, written(small_checkpoint(), format="x"), "format 'x' found")
    refused(tmp_path, pack(small_checkpoint().arrays), "header is none of an")


def changed_arrays(**changes):
    good = small_checkpoint()
    arrays = dict(good.arrays)
    for name, change in changes.items():
        arrays[name.replace("__", ".")] = change
    return Checkpoint(good.spec, {k: v for k, v in arrays.items() if v is not None}, good.card)


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"head__bias": np.zeros(5, np.float32)},
            r"head.bias is float32 \(5,\), expected float32 \(4,\)",
        ),
        ({"head__bias": np.zeros(4, np.float64)}, "head.bias is float64"),
        ({"head__bias": np.array([0, 0, np.nan, 0], np.float32)}, "not finite"),
        ({"head__bias": np.array([0, 0, np.inf, 0], np.float32)}, "not finite"),
        ({"head__bias": None}, "head.bias is missing"),
        ({"extra": np.zeros(1, np.float32)}, "extra is not part"),
        ({"wiring__motor": np.full((6, 5), 2, np.uint8)}, "zeros and ones"),
    ],
)
def test_wrong_tensors(tmp_path, changes, words):
    refused(tmp_path, written(changed_arrays(**changes)), words)


def changed_card(path, value):
    good = small_checkpoint()
    card = json.loads(json.dumps(good.card))
    *parents, last = path
    node = card
    for key in parents:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return written(Checkpoint(good.spec, good.arrays, card))


@pytest.mark.parametrize(
    "path, value, words",
    [
        (("camera",), None, "lacks camera"),
        (("training",), "x", "training of the card"),
        (("evaluation",), 3, "evaluation of the card"),
        (("streams", "imu"), None, "lacks imu"),
        (("streams", "sonar"), {}, "unknown stream sonar"),
        (("streams", "camera"), 3, "of stream camera on the card is None"),
        (("streams", "camera", "shape"), [12, 17, 3], "shape of stream camera"),
        (("streams", "camera", "encoding"), "bgr8", "encoding of stream camera .* takes 'rgb8'"),
        (("streams", "imu", "unit"), ["deg/s"] * 6, "unit of stream imu"),
        (("streams", "imu", "shape"), [7], r"shape of stream imu on the card is \[7\]"),
        (("camera", "width"), 17, "width of the camera on the card is 17"),
        (("camera", "height"), True, "height of the camera"),
        (("camera", "horizontal_fov"), None, "horizontal_fov of the camera is None"),
        (("camera", "position"), [0.0, 0.0], "expected 3 numbers"),
        (("camera", "position"), [0.0, float("nan"), 0.0], "position of the camera is nan"),
        (("spec", "head"), None, "lacks the entry 'head'"),
        (("spec", "core", "kind"), "magic", "cell 'magic' found, expected one of"),
        (("spec", "core", "kind"), None, "kind is None"),
        (("spec", "core", "layers"), [1, 2], "expected name, units and recurrent"),
        (("spec", "core", "layers"), 3, "layers is 3, expected a list"),
        (("spec", "core", "layers", 0, "units"), 10**9, "expected an integer"),
        (("spec", "core", "layers", 0, "recurrent"), 1, "expected true or false"),
        (("spec", "core", "inputs"), 17, f"core.inputs is 17, expected {FEATURES + len(SUMMARY)}"),
        (("spec", "core", "read"), 21, "read is 21"),
        (("spec", "core", "rotating"), [0, 5, 0], "expected an even number"),
        (("spec", "core", "rotating"), [6], "expected 3 numbers"),
        (("spec", "core", "rate_max"), float("nan"), "rate_max is nan"),
        (("spec", "core", "frequency_max"), None, "the entry frequency_max is missing"),
        (("spec", "core", "gain"), 1.0, "entry gain found"),
        (("spec", "encoder", "kind"), "magic", "kind is 'magic', expected one of conv"),
        (("spec", "encoder", "height"), 12.0, "encoder: height"),
        (("spec", "encoder", "layers"), [], "expected 1 to 16"),
        (("spec", "encoder", "layers", 0, "stride"), [0, 2], "kernel, stride or padding"),
        (("spec", "encoder", "layers", 1, "kernel"), [60, 60], "leaves nothing"),
        (
            ("spec", "encoder", "layers"),
            [{"channels": 4096, "kernel": [1, 1], "stride": [1, 1], "padding": [64, 64]}] * 2,
            "layer 0 needs a buffer of",
        ),
        (("spec", "head", "low"), [1, 0, 0, 0], "head.low"),
        (("spec", "head", "gain"), 1.0, "unknown entry gain"),
        (("spec", "tail"), 1.0, "unknown entry tail"),
        (("spec", "summary_scale"), [1.0], f"expected {len(SUMMARY)}"),
        (("spec", "summary_scale"), ["a"] * len(SUMMARY), "summary scale"),
        (("spec", "first_interval"), 0.0, "first_interval"),
        (("spec",), [], "spec of the card"),
    ],
)
def test_wrong_cards(tmp_path, path, value, words):
    refused(tmp_path, changed_card(path, value), words)


def test_saving_refuses_what_loading_would(tmp_path):
    good = small_checkpoint()
    bad = Checkpoint(good.spec, good.arrays, {**good.card, "streams": {}})
    for checkpoint, words in (
        (changed_arrays(head__bias=np.full(4, np.nan, np.float32)), "not finite"),
        (bad, "lacks camera"),
        (Checkpoint(good.spec, good.arrays, {**good.card, "training": {1j}}), "no plain data"),
    ):
        with pytest.raises(LnnError, match=words):
            save(tmp_path / "x", checkpoint)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "policy"
    save(path, small_checkpoint())
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(LnnError, match="folder: cannot be written"):
        save(tmp_path / "folder", small_checkpoint())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LnnError, match="No space left"):
        save(path, small_checkpoint(seed=1))
    assert load(path).weights_digest() == small_checkpoint().weights_digest()
    assert {p.name for p in tmp_path.iterdir()} == {"policy", "folder"}


def small_cell(kind="flow", outputs=2, seed=0):
    wiring = auto_ncp(5, 14, 3, seed=seed, paired=True)
    cell = cell_type(kind).wired(5, wiring, 3)
    rng = np.random.default_rng(seed)
    arrays = {f"core.{name}": a for name, a in cell.initialise(rng, wiring.masks()).items()}
    if outputs:
        arrays.update({"readout.weight": rng.normal(0, 1, (3, outputs)),
                       "readout.bias": np.zeros(outputs)})  # fmt: skip
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()} | wiring.masks()
    return CellCheckpoint(cell, arrays, outputs, "small", {"seed": seed})


@pytest.mark.parametrize("outputs", [0, 2])
def test_a_cell_alone_is_saved_and_loaded(tmp_path, outputs):
    saved = small_cell(outputs=outputs)
    save_cell(tmp_path / "cell", saved)
    loaded = load_cell(tmp_path / "cell")
    assert loaded.cell == saved.cell and loaded.source == {"seed": 0}
    assert loaded.outputs == outputs and loaded.name == "small" and not loaded.presence
    assert loaded.weights_digest() == saved.weights_digest()


def test_cell_files_are_as_hostile_as_policies(tmp_path):
    good = small_cell()
    save_cell(tmp_path / "cell", good)
    save(tmp_path / "policy", small_checkpoint())
    with pytest.raises(LnnError, match="format 'lnn_ros-policy' found, expected 'lnn_ros-cell'"):
        load_cell(tmp_path / "policy")
    with pytest.raises(LnnError, match="format 'lnn_ros-cell' found, expected 'lnn_ros-policy'"):
        load(tmp_path / "cell")
    card = container.read(tmp_path / "cell", CELL_FORMAT)[0]
    nan = np.full((3, 2), np.nan, np.float32)
    for changed, arrays, words in (
        ({"outputs": 3}, {}, "readout.weight is float32"),
        ({"outputs": -1}, {}, "outputs of the card is -1"),
        ({"presence": 1}, {}, "presence of the card"),
        ({"first_interval": -0.1}, {}, "first_interval of the card is -0.1"),
        ({"first_interval": 10.5}, {}, "first_interval of the card is 10.5"),
        ({"first_interval": True}, {}, "first_interval of the card is True"),
        ({"first_interval": float("nan")}, {}, "first_interval of the card is nan"),
        ({"first_interval": None}, {}, "first_interval of the card is None"),
        ({"name": 3}, {}, "name of the card"),
        ({"source": []}, {}, "source of the card"),
        ({"cell": {"kind": "magic"}}, {}, "cell 'magic' found"),
        ({"cell": {**card["cell"], "layers": 5}}, {}, "layers is 5"),
        ({"cell": {**card["cell"], "rate_max": "x"}}, {}, "rate_max is 'x'"),
        ({}, {"readout.weight": nan}, "not finite"),
        ({}, {"wiring.inter": np.full_like(good.arrays["wiring.inter"], 2)}, "zeros and ones"),
        ({}, {"more": nan}, "more is not part"),
    ):
        container.write(
            tmp_path / "bad", CELL_FORMAT, {**card, **changed}, {**good.arrays, **arrays}
        )
        with pytest.raises(LnnError, match=words) as caught:
            load_cell(tmp_path / "bad")
        assert str(tmp_path / "bad") in str(caught.value)
    for key in ("source", "first_interval"):
        less = {name: value for name, value in card.items() if name != key}
        container.write(tmp_path / "bad", CELL_FORMAT, less, good.arrays)
        with pytest.raises(LnnError, match=f"lacks {key}"):
            load_cell(tmp_path / "bad")


def test_a_cell_file_that_does_not_say_its_first_interval_is_of_a_version_of_before(tmp_path):
    """Torch began such a network after 1 s, its exports after none: nobody can tell which."""
    save_cell(tmp_path / "cell", small_cell())
    card, arrays = container.read(tmp_path / "cell", CELL_FORMAT)
    text = json.dumps({key: value for key, value in card.items() if key != "first_interval"})
    said = {"format": CELL_FORMAT, "version": "3", "card": text}
    said["sha256"] = container.digest(text, arrays)
    (tmp_path / "old").write_bytes(pack(arrays, metadata=said))
    with pytest.raises(LnnError, match="version '3' found, expected '4': train or import it"):
        load_cell(tmp_path / "old")


@pytest.mark.parametrize("presence, first", [(False, {}), (True, {"first_interval": 0.2})])
def test_a_network_comes_back_from_its_file(tmp_path, presence, first):
    wiring = auto_ncp(4 * (3 if presence else 1), 14, 3, seed=1, paired=True)
    options = {"presence": presence, "seed": 3, "frequency_max": 1.5, **first}
    rnn = LiquidRNN(4, 2, "flow", wiring=wiring, **options)
    save_rnn(tmp_path / "rnn", rnn, "small", {"seed": 3})
    back = load_rnn(tmp_path / "rnn")
    x, dt = torch.randn(2, 6, 4), torch.rand(2, 6)
    with torch.no_grad():
        torch.testing.assert_close(back(x, dt), rnn(x, dt), rtol=0.0, atol=0.0)
    save_cell(tmp_path / "cell", small_cell(outputs=0))
    with pytest.raises(LnnError, match="without a read-out"):
        load_rnn(tmp_path / "cell")


def test_loading_and_running_needs_no_torch_numba_or_mujoco(good):
    code = (
        "import sys\n"
        "from lnn_ros.pilot import Pilot\n"
        f"Pilot.load({str(good)!r}).command(10**9)\n"
        "bad = {'torch', 'numba', 'mujoco', 'rclpy'} & set(sys.modules)\n"
        "sys.exit(f'imported: {bad}' if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
