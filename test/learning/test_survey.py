"""What a folder of recordings holds, and what of it can be learned from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from flights_for_tests import CAMERA, START, arrays, write
from policies_for_tests import small_checkpoint

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.survey import outline, recordings, survey
from lnn_ros.liquid.checkpoint import save


def between(data: dict[str, np.ndarray], stream: str, *spans: tuple[float, float]) -> None:
    """Keep what is stamped in spans, s from the start."""
    stamps = data[f"{stream}_stamps"]
    kept = np.zeros(len(stamps), bool)
    for low, high in spans:
        kept |= (stamps >= START + low * 1e9) & (stamps < START + high * 1e9)
    values = {"frame": "frames", "imu": "imu", "label": "labels"}[stream]
    data[f"{stream}_stamps"], data[values] = stamps[kept], data[values][kept]
    if stream == "frame":
        data["hints"] = data["hints"][kept]


def test_takeovers_topics_rates_and_gaps_are_told(tmp_path):
    data = arrays(seconds=6.0, frame_ms=(50, 51))
    data["imu"][:, :3] = 0.0  # pictures at random do not turn
    between(data, "label", (1.0, 2.0), (4.0, 5.5))
    between(data, "frame", (0.0, 2.5), (3.2, 9.0))
    bag = write(tmp_path / "one", data, takeovers="[1, 2]")
    found = survey(bag, CAMERA)
    assert not found.troubles and found.frames == len(data["frames"])
    assert [pytest.approx(one, abs=0.04) for one in ((1.0, 2.0), (4.0, 5.5))] == list(
        found.takeovers)
    assert found.labelled_s == pytest.approx(2.5, abs=0.1)
    lines = {line.name: line for line in found.topics}
    assert lines["/imu"].rate_hz == pytest.approx(200.0, rel=0.01)
    assert lines["/image"].gap_s == pytest.approx(0.7, abs=0.06)
    assert lines["/image"].messages == len(data["frames"])
    (remark,) = found.remarks
    assert remark.startswith("no frame for 0.")
    assert found.outline.seconds == pytest.approx(6.0, abs=0.1) and found.outline.takeovers == 2


@pytest.mark.parametrize(("what", "trouble", "remark"), [
    ("another camera", "", "pictures turn with the gyroscope by a correlation of"),
    ("no labels", "no command of a person in it", ""),
    ("another clock", "no command of a person has a frame", ""),
    ("half blind", "", "% of the person's commands have a frame"),
    ("slow imu", "", "inertial samples a second"),
    ("no imu", "", "0.0 inertial samples a second"),
])
def test_what_stands_against_learning_is_said(tmp_path, what, trouble, remark):
    data = arrays(seconds=12.0 if what == "another camera" else 4.0,
                  imu_ms=200 if what == "slow imu" else 5)
    if what == "no labels":
        between(data, "label")
    if what == "another clock":
        data["label_stamps"] = data["label_stamps"] + 10**15
    if what == "half blind":
        between(data, "frame", (0.0, 1.5))
    if what == "no imu":
        between(data, "imu")
    found = survey(write(tmp_path / "one", data), CAMERA)
    assert [trouble in one for one in found.troubles] == ([True] if trouble else [])
    assert any(remark in one for one in found.remarks) if remark else True


def test_a_recording_that_cannot_be_read_is_told_and_counted(tmp_path, capsys):
    policy = tmp_path / "policy.safetensors"
    checkpoint = small_checkpoint()
    checkpoint.card["camera"] = {**checkpoint.card["camera"], "width": CAMERA.width,
                                 "height": CAMERA.height, "fov": CAMERA.horizontal_fov}
    save(policy, checkpoint)
    folder = tmp_path / "recordings"
    good = write(folder / "good", arrays(), robot="crazyflie", marked="true", policy="0" * 16,
                 takeovers=json.dumps([{"from_ns": 1, "to_ns": 2}]))
    shutil.copytree(good, folder / "cut")
    (folder / "cut" / "metadata.yaml").unlink()
    shutil.copytree(good, folder / "damaged")
    for file in (folder / "damaged").glob("*.mcap"):
        file.write_bytes(file.read_bytes()[:2000] + bytes(2000) + file.read_bytes()[4000:])
    assert main(["data", "list", str(folder)]) == 0
    cut, damaged, line = capsys.readouterr().out.splitlines()
    assert cut.startswith("cut  ") and "lnn_ros recover" in cut
    assert damaged.startswith("damaged  ")
    assert "good  3.0 s" in line and line.endswith(
        "1 takeovers  crazyflie  arrived  policy 000000000000  marked")

    file = tmp_path / "found.json"
    words = [str(folder), "--policy", str(policy), "--json", str(file)]
    assert main(["data", "check", *words]) == 1
    said = capsys.readouterr().out
    assert "cut: of no use\n  was cut short" in said and "damaged: of no use\n  bag " in said
    assert "1 of 3 recordings are of use: 3 s in 1 takeovers" in said
    assert [bool(one["troubles"]) for one in json.loads(file.read_text())] == [True, True, False]
    assert main(["data", "show", str(good), "--policy", str(policy)]) == 0
    said = capsys.readouterr().out
    assert "/imu" in said and "takeover from 0.0 to 3.0 s" in said


def test_a_folder_without_recordings_is_named(tmp_path, capsys):
    assert main(["data", "list", str(tmp_path)]) == 2
    assert "no recording found in it" in capsys.readouterr().err
    with pytest.raises(LnnError, match="no folder found"):
        recordings(Path("/nowhere"))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "empty.mcap").write_bytes(b"")
    assert recordings(tmp_path) == [empty] and "cut short" in outline(empty).trouble
