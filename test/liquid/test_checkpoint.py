"""Files from outside are hostile until proven otherwise."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import small_checkpoint
from safetensors.numpy import save as pack

from lnn_ros.errors import LnnError
from lnn_ros.liquid import checkpoint as module
from lnn_ros.liquid.checkpoint import Checkpoint, load, save


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "good.safetensors"
    save(path, small_checkpoint())
    return path


def test_what_was_saved_is_loaded(good):
    saved, loaded = small_checkpoint(), load(good)
    assert loaded.spec == saved.spec
    assert loaded.card == json.loads(json.dumps(saved.card))
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
        struct.pack("<Q", module.MAX_HEADER + 1) + bytes(module.MAX_HEADER + 9),
        "header of",
    )
    refused(tmp_path, bytes(module.MAX_BYTES + 1), "larger than")
    nested = b'{"__metadata__":' + b"[" * 100_000
    refused(tmp_path, struct.pack("<Q", len(nested)) + nested, "header is no policy's")


def written(checkpoint, **metadata):
    """Bytes of a file whose digest is right, whatever else is wrong."""
    card = json.dumps(checkpoint.card)
    known = {"format": module.FORMAT, "version": module.VERSION, "card": card}
    known.update(metadata)
    known["sha256"] = module._digest(known["card"], checkpoint.arrays)
    return pack(checkpoint.arrays, metadata=known)


def test_unknown_format_and_version(tmp_path):
    refused(tmp_path, written(small_checkpoint(), version="3"), "version '3' found, expected '2'")
    refused(tmp_path, written(small_checkpoint(), version="1"), "'1' .*: train the policy again")
    refused(tmp_path, written(small_checkpoint(), format="x"), "format 'x' found")
    refused(tmp_path, pack(small_checkpoint().arrays), "header is no policy's")


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
        (("spec", "head"), None, "lacks the entry 'head'"),
        (("spec", "core", "kind"), "magic", "cell 'magic' found, expected one of"),
        (("spec", "core", "kind"), None, "kind is None"),
        (("spec", "core", "layers"), [1, 2], "expected name, units and recurrent"),
        (("spec", "core", "layers"), 3, "layers is 3, expected a list"),
        (("spec", "core", "layers", 0, "units"), 10**9, "expected an integer"),
        (("spec", "core", "layers", 0, "recurrent"), 1, "expected true or false"),
        (("spec", "core", "inputs"), 17, "core.inputs is 17, expected 16"),
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
        (("spec", "summary_scale"), [1.0], "expected 9"),
        (("spec", "summary_scale"), ["a"] * 9, "summary scale"),
        (("spec", "first_interval"), 0.0, "first_interval"),
        (("spec",), [], "spec of the card"),
    ],
)
def test_wrong_cards(tmp_path, path, value, words):
    refused(tmp_path, changed_card(path, value), words)


def test_saving_refuses_what_loading_would(tmp_path):
    with pytest.raises(LnnError, match="not finite"):
        save(tmp_path / "x", changed_arrays(head__bias=np.full(4, np.nan, np.float32)))
    assert not list(tmp_path.iterdir())


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
