"""``make demo`` and ``make test`` set themselves up, or say in one sentence what stands in the way.

The script runs as make runs it, on machines made poor in the one respect that is tested.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "bootstrap.py"

spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)

# The interpreter behind this environment: what `python3` is for somebody who has none yet.
PYTHON = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def clean_environment(**more: str) -> dict[str, str]:
    """Environment without what a ROS or a pip configuration adds to it."""
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("PIP_", "ROS_", "_ROS_", "AMENT_", "PYTHON", "LD_LIBRARY"))}
    return {**env, **more}


def run(*arguments: str | Path, wrapper: tuple[str, ...] = (), env: dict[str, str] | None = None,
        **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrapper, PYTHON, str(SCRIPT), *map(str, arguments)], check=False, text=True,
        capture_output=True, env=env or clean_environment(), timeout=300, **options)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert done.stderr.startswith("lnn_ros: ")
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_nothing_to_do_is_silent_and_touches_nothing(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(PYTHON)
    bootstrap.write_stamp(str(venv), {
        "key": bootstrap.key(), "extras": ["ros", "sim"], "venv": str(venv), "ros": "",
        "python": "3.11", "pip": True})
    before = sorted((p, p.lstat().st_mtime_ns) for p in venv.rglob("*"))
    done = run("ros,sim", venv)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted((p, p.lstat().st_mtime_ns) for p in venv.rglob("*")) == before


@pytest.mark.parametrize("file", ["setup.py", "constraints/wheels.txt", "constraints/kilted.txt",
                                  "scripts/bootstrap.py"])
def test_what_decides_what_is_installed_is_in_the_key(file: str, monkeypatch: pytest.MonkeyPatch,
                                                      tmp_path: Path) -> None:
    for name in bootstrap.DECISIVE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    before = bootstrap.key()
    with (tmp_path / file).open("a") as changed:
        changed.write("\n")
    assert bootstrap.key() != before


def test_no_network(tmp_path: Path) -> None:
    env = clean_environment(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_CONFIG_FILE="/dev/null",
                            PIP_CACHE_DIR=str(tmp_path / "cache"))
    done = run("ros,sim", tmp_path / "venv", env=env)
    assert_one_sentence(done, "could not be downloaded", "connect this machine to the Internet")


def test_disk_that_fills_up(tmp_path: Path) -> None:
    def no_file_above_1_mb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = run("ros", tmp_path / "venv", preexec_fn=no_file_above_1_mb)
    assert_one_sentence(done, "the disk is full", "TMPDIR")
    # What is left is known as ours, and made anew.
    again = run("ros", tmp_path / "venv", preexec_fn=no_file_above_1_mb)
    assert_one_sentence(again, "the disk is full")


def test_disk_that_is_known_to_be_too_small(tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bootstrap.NEEDED_GB, "sim", 1e9)
    with pytest.raises(bootstrap.Obstacle, match=r"needs about 1000000000\.\d GB and .* GB are"):
        bootstrap.check_disk(str(tmp_path / "venv"), ["sim"])


@pytest.mark.parametrize(("version", "word"), [("3.9", "too old"), ("3.15", "too new")])
def test_python_of_the_wrong_age(version: str, word: str, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    done = run("--python", python, "ros", tmp_path / "venv")
    assert_one_sentence(done, f"Python {version} is {word}", "install Python 3.10 to 3.14")
    assert not (tmp_path / "venv").exists()


def test_python_that_is_none(tmp_path: Path) -> None:
    done = run("--python", "/bin/false", "ros", tmp_path / "venv")
    assert_one_sentence(done, "PYTHON=/bin/false does not run")


def test_python_that_does_not_exist() -> None:
    done = subprocess.run(["make", "--no-print-directory", "demo", "PYTHON=python3.none"],
                          cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("lnn_ros: there is no python3.none: install Python 3.10")


def test_python_without_venv_module(tmp_path: Path) -> None:
    # As on Debian and Ubuntu without python3-venv, where ensurepip is missing.
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')\n")
    done = run("--python", PYTHON, "ros", tmp_path / "venv",
               env=clean_environment(PYTHONPATH=str(tmp_path)))
    assert_one_sentence(done, "lacks its venv module", "sudo apt install python3.")


def test_other_cpu(tmp_path: Path) -> None:
    done = run("ros", tmp_path / "venv", wrapper=("setarch", "i686"))
    assert_one_sentence(done, "x86-64 only and this machine is i686", "install ROS 2")


@pytest.mark.parametrize("libc", [("", ""), ("glibc", "2.17")])
def test_other_c_library(libc: tuple[str, str]) -> None:
    with pytest.raises(bootstrap.Obstacle, match=r"needs glibc 2\.28 or newer"):
        bootstrap.check_platform("x86_64", libc)


def test_sourced_ros_whose_python_is_not_here(tmp_path: Path) -> None:
    env = clean_environment(ROS_DISTRO="jazzy", AMENT_PREFIX_PATH="/opt/ros/jazzy")
    done = run("--python", PYTHON, "ros", tmp_path / "venv", env=env)
    assert_one_sentence(done, "ROS 2 jazzy is sourced", "PYTHON=/usr/bin/python3")


def test_environment_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    done = run("ros", tmp_path / "venv")
    assert_one_sentence(done, "was not made by this Makefile", "VENV=")
    assert list(tmp_path.iterdir()) == [tmp_path / "venv"]


def test_given_environment_is_only_checked(tmp_path: Path) -> None:
    done = run("--given", tmp_path / "none", "ros")
    assert_one_sentence(done, "holds no Python that runs")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(PYTHON)
    done = run("--given", tmp_path, "ros,sim")
    assert_one_sentence(done, "lacks the Python modules", "rclpy", "mujoco")
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]


def test_this_environment_has_all_that_tests_need() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--given", sys.prefix,
                           "ros,sim,train,dev"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
