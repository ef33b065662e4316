"""`lnn_ros inspect`: everything in a file, and its wiring as a picture."""

import json
import subprocess
import sys
from dataclasses import replace

import matplotlib.image
import pytest
from policies_for_tests import small_checkpoint

from lnn_ros import policies
from lnn_ros.cli import main
from lnn_ros.liquid import container
from lnn_ros.liquid.bound import bound
from lnn_ros.liquid.checkpoint import CELL_FORMAT, POLICY_FORMAT, Checkpoint, load, save
from lnn_ros.liquid.inspection import describe
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.rnn_files import save_rnn
from lnn_ros.liquid.wiring import auto_ncp, dense

SHIPPED = policies.path("fly_to_target")


@pytest.fixture
def policy(tmp_path):
    save(tmp_path / "policy", small_checkpoint())
    return tmp_path / "policy"


def said(capsys, *words):
    assert main(["inspect", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_everything_in_the_file_is_printed(capsys):
    text, checkpoint = said(capsys, SHIPPED), load(SHIPPED)
    spec, proven = checkpoint.spec, bound(checkpoint.spec, checkpoint.arrays)
    for words in (
        f"fly_to_target: policy file, version {container.version(POLICY_FORMAT)}",
        f"total {spec.count()}",
        f"kind: {spec.core.kind}",
        *(f"wiring of {layer.name}: {layer.units} neurons" for layer in spec.core.layers),
        "[48, 64, 3]",
        "[rad/s, rad/s, rad/s, m/s^2, m/s^2, m/s^2]",
        "horizontal_fov: 1.5708",
        "summary_limit: 5",
        "pixel_scale: 0.015625",
        f"seed: {checkpoint.card['training']['seed']}",
        checkpoint.card["training"]["commit"],
        "arrived:",
        f"vz: {proven.low[2]:.4g} to {proven.high[2]:.4g} m/s",
        *(f"{when}: " + ("no bound is known" if change is None
                         else f"at most {change[3]:.4g} rad/s^2")
          for when, change in (("by the flow alone", proven.rate),
                               ("as it is read", proven.reading))),
        checkpoint.weights_digest(),
    ):
        assert words in text, words


def test_the_same_as_json(capsys):
    found, checkpoint = json.loads(said(capsys, SHIPPED, "--json")), load(SHIPPED)
    assert found["file"]["bytes"] == SHIPPED.stat().st_size
    for key in ("name", "task", "streams", "camera", "training", "evaluation"):
        assert found[key] == checkpoint.card[key]
    assert found["bound"]["rate"] == list(bound(checkpoint.spec, checkpoint.arrays).rate)
    counts = found["parameters"]
    assert counts["encoder"] + counts["core"] + counts["head"] == counts["total"]
    assert counts["active"] == counts["total"] - counts["closed_by_wiring"]
    synapses = sum(layer["synapses"] for layer in found["wiring"])
    assert synapses == sum(int(checkpoint.arrays[n].sum()) for n in checkpoint.spec.masks())
    assert found["digests"]["tensors"].keys() == checkpoint.arrays.keys()


def test_one_changed_number_changes_one_digest():
    before, arrays = small_checkpoint(), dict(small_checkpoint().arrays)
    arrays["head.bias"] = arrays["head.bias"] + 1
    one, other = (
        describe(replace(before, arrays=a))["digests"]["tensors"] for a in (before.arrays, arrays)
    )
    assert [name for name in one if one[name] != other[name]] == ["head.bias"]


def test_a_cell_alone(tmp_path, capsys):
    rnn = LiquidRNN(4, 2, "flow", wiring=auto_ncp(4, 20, 3, paired=True), seed=1)
    save_rnn(tmp_path / "cell", rnn, "a cell", {"seed": 1, "imported": "nothing"})
    text = said(capsys, tmp_path / "cell")
    assert text.startswith(f"a cell: cell file, version {container.version(CELL_FORMAT)}")
    shown = ("pairs turn", "imported: nothing", "readout 8", "outputs: 2", "first_interval: 1")
    for words in shown:
        assert words in text
    found = json.loads(said(capsys, tmp_path / "cell", "--json"))
    assert found["source"]["seed"] == 1 and "bound" not in found
    assert found["wiring"][1]["turning_pairs"] == rnn.core.cell.pairs[1]


def test_a_calibration_is_shown_if_there_is_one(tmp_path, capsys, policy):
    assert "calibration" not in said(capsys, policy)
    good = small_checkpoint()
    card = {**good.card, "calibration": {"outputs": {"vx": {"spread": 0.125}}}}
    save(tmp_path / "sure", Checkpoint(good.spec, good.arrays, card))
    assert "spread: 0.125" in said(capsys, tmp_path / "sure")


def test_the_wiring_as_a_picture(tmp_path, capsys, policy):
    said(capsys, policy, "--wiring", tmp_path / "wiring.png")
    image = matplotlib.image.imread(tmp_path / "wiring.png")[..., :3]
    assert min(image.shape[:2]) > 500
    red = (image[..., 0] > image[..., 2] + 0.3).mean()
    blue = (image[..., 2] > image[..., 0] + 0.3).mean()
    assert red > 0.002 and blue > 0.002, "both signs of weights"
    said(capsys, policy, "--wiring", tmp_path / "wiring.svg")
    drawing = (tmp_path / "wiring.svg").read_text()
    checkpoint = load(policy)
    # One path for each synapse, and for each number of the head.
    lines = drawing.count('<path d="M') - 2 * drawing.count("<clipPath")
    synapses = sum(int(checkpoint.arrays[name].sum()) for name in checkpoint.spec.masks())
    assert lines > synapses + checkpoint.arrays["head.weight"].size


@pytest.mark.parametrize("kind", ["cfc", "ltc", "transformer"])
def test_other_cells_can_be_inspected_and_drawn(kind, tmp_path, capsys):
    """One with gates side by side, one with synapses of fixed signs, one without a wiring."""
    rnn = LiquidRNN(3, 2, kind, wiring=dense(3, 8), seed=1)
    save_rnn(tmp_path / "cell", rnn, kind, {})
    assert f"kind: {kind}" in said(capsys, tmp_path / "cell", "--wiring", tmp_path / "w.png")
    assert (tmp_path / "w.png").stat().st_size > 5000


def refused(capsys, *words):
    assert main(["inspect", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    return captured.err


def test_damaged_and_hostile_files_are_one_sentence(tmp_path, capsys, policy):
    assert "cannot be read" in refused(capsys, tmp_path / "none")
    assert "cannot be read" in refused(capsys, tmp_path)
    blob = policy.read_bytes()
    for name, content in (
        ("empty", b""),
        ("garbage", bytes(range(256)) * 20),
        ("cut", blob[:-7]),
        ("changed", blob[:-7] + b"\x40" + blob[-6:]),
        ("huge", b"\xff" * 8 + blob[8:]),
        ("big", bytes(container.MAX_BYTES + 1)),
    ):
        (tmp_path / name).write_bytes(content)
        assert str(tmp_path / name) in refused(capsys, tmp_path / name)


def test_a_name_cannot_steer_the_terminal(tmp_path, capsys):
    good = small_checkpoint()
    proven = bound(good.spec, good.arrays).to_json()
    card = {**good.card, "bound": proven, "name": "\x1b[2Jevil\ud800\u202e"}
    container.write(tmp_path / "evil", POLICY_FORMAT, card, good.arrays)
    text = said(capsys, tmp_path / "evil")
    assert "evil" in text and all(c == "\n" or c.isprintable() for c in text)


def test_a_picture_that_cannot_be_drawn_is_one_sentence(tmp_path, capsys, policy):
    assert "expected .png or .svg" in refused(capsys, policy, "--wiring", tmp_path / "w.exe")
    (tmp_path / "w.png").mkdir()
    assert "cannot be written" in refused(capsys, policy, "--wiring", tmp_path / "w.png")


def test_without_matplotlib_only_the_picture_is_missing(policy):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from lnn_ros.cli import main\n"
        f"first = main(['inspect', {str(policy)!r}])\n"
        f"sys.exit(10 * first + main(['inspect', {str(policy)!r}, '--wiring', 'w.png']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "digest of the weights" in done.stdout
    assert "needs the Python module matplotlib" in done.stderr and "[sim]" in done.stderr
