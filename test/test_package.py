"""The package as pip and colcon see it: manifest, what gets installed, the ``lnn_ros`` command."""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package
from installation import install

from lnn_ros.cli import COMMANDS
from lnn_ros.nodes import table
from lnn_ros.nodes.supervision import free_domain

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = parse_package(str(ROOT / "package.xml"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return install(tmp_path_factory.mktemp("installed"))


def run(*command: str | Path, env: dict[str, str] | None = None,
        cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], env=env, cwd=cwd, check=False,
                          text=True, capture_output=True, timeout=120)


def imported_modules(folder: Path) -> set[str]:
    """Top-level modules that the Python files of a folder import, lazily or not."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_manifest_is_valid_and_agrees_with_setup() -> None:
    MANIFEST.validate()
    said = run(sys.executable, "setup.py", "--name", "--version", "--license",
               "--maintainer-email", cwd=ROOT).stdout.split()
    assert said == [MANIFEST.name, MANIFEST.version, MANIFEST.licenses[0],
                    MANIFEST.maintainers[0].email]
    assert MANIFEST.package_format == 3
    assert MANIFEST.get_build_type() == "ament_python"


def test_manifest_names_exactly_the_ros_packages_that_are_imported() -> None:
    imported = imported_modules(ROOT / "lnn_ros") | imported_modules(ROOT / "launch")
    ros = {name for name in imported
           if name.endswith(("_msgs", "_srvs", "_interfaces"))
           or name in ("rclpy", "launch", "launch_ros", "ament_index_python", "sensor_msgs_py")}
    declared = {d.name for d in MANIFEST.exec_depends if not d.name.startswith("python3-")}
    assert declared == ros


def test_environments_are_made_and_checked_for_everything_that_is_imported() -> None:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    folders = [ROOT / name for name in ("lnn_ros", "test", "benchmark")]
    files = [file for folder in folders[1:] for file in folder.rglob("*.py")]
    ours = {name for file in files for name in (file.stem, file.parent.name)} | {"lnn_ros"}
    imported = set().union(*map(imported_modules, folders)) - ours - set(sys.stdlib_module_names)
    # Of a ROS installation: used where there is one, and by nobody but launch files.
    imported -= {"sensor_msgs_py", "launch_ros", "ament_index_python"}
    assert imported <= {m for modules in bootstrap.MODULES.values() for m in modules}


def test_manifest_depends_on_nothing_that_rosdep_installs_by_pip() -> None:
    names = {d.name for d in MANIFEST.exec_depends}
    assert not {name for name in names if name.endswith("-pip")}
    assert not names & {"safetensors", "rosbags", "mujoco", "numba", "torch"}


def test_everything_that_is_read_at_run_time_gets_installed(installed) -> None:
    prefix, _ = installed
    share = prefix / "share" / "lnn_ros"
    assert (prefix / "share/ament_index/resource_index/packages/lnn_ros").is_file()
    assert (share / "package.xml").is_file()
    for folder in filter(Path.is_dir, (ROOT / n for n in ("launch", "config", "worlds"))):
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                copy = share / file.relative_to(ROOT)
                assert copy.read_bytes() == file.read_bytes(), copy
    (site,) = prefix.glob("lib/python3*/site-packages/lnn_ros")
    for file in (ROOT / "lnn_ros").rglob("*"):
        if file.suffix in (".py", ".safetensors", ".typed") and "__pycache__" not in file.parts:
            assert (site / file.relative_to(ROOT / "lnn_ros")).is_file(), file


def test_ros2_run_finds_one_executable_per_row_of_the_table(installed) -> None:
    prefix, _ = installed
    executables = {path.name: path for path in (prefix / "lib" / "lnn_ros").iterdir()}
    assert set(executables) == set(table.MODULES)
    for name, path in executables.items():
        assert os.access(path, os.X_OK)
        assert path.read_text().startswith("#!/usr/bin/env python3\n")
        assert f"from {table.MODULES[name]} import main\n" in path.read_text()


def test_installed_executable_runs_and_finds_its_files(installed, tmp_path: Path) -> None:
    prefix, env = installed
    process = subprocess.Popen(
        [prefix / "lib/lnn_ros/simulator", "--ros-args", "-p", "task:=nowhere"], cwd=tmp_path,
        env={**env, "ROS_DOMAIN_ID": str(free_domain()),
             "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, stderr=subprocess.PIPE, text=True)
    try:
        said = next(line for line in process.stderr
                    if "config/tasks/nowhere.yaml was not found" in line)
        assert str(prefix / "share" / "lnn_ros") in said
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_installed_package_does_not_need_the_checkout(installed, tmp_path: Path) -> None:
    prefix, env = installed
    code = ("import lnn_ros; from lnn_ros.nodes import options, table; print(lnn_ros.__file__);"
            "print(table.nodes(options.NodeOptions())[0].layers[0])")
    done = run(sys.executable, "-c", code, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(prefix)) for line in done.stdout.splitlines())


def test_help_names_every_command_and_loads_none_of_them(installed, tmp_path: Path) -> None:
    _, env = installed
    done = run("lnn_ros", "--help", env=env, cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    loaded = run(sys.executable, "-c",
                 "import sys; from lnn_ros.cli import main\n"
                 "try: main(['--help'])\n"
                 "except SystemExit: print(*sys.modules, file=sys.stderr)", cwd=ROOT)
    assert not {"numpy", "torch", "rclpy", "mujoco", "numba"} & set(loaded.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = run(sys.executable, "-m", "lnn_ros.cli", command, "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: lnn_ros {command}")


@pytest.mark.parametrize(("command", "module", "extra"), [
    ("demo", "rclpy", "ros"), ("demo", "mujoco", "sim"), ("train", "torch", "train")])
def test_missing_extra_is_named_in_one_sentence(command: str, module: str, extra: str) -> None:
    # None in sys.modules makes Python answer as if the module were not installed.
    done = run(sys.executable, "-c",
               f"import sys; sys.modules[{module!r}] = None\n"
               f"from lnn_ros.cli import main; sys.exit(main([{command!r}]))", cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == (f"lnn_ros: lnn_ros {command} needs the Python module {module}, which "
                           f"is not installed: install the extra '{extra}' with pip install "
                           f"'lnn_ros[{extra}]'\n")


def test_input_that_a_person_can_correct_ends_in_one_sentence(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "lnn_ros.cli", "demo", "--policy", "no_such_policy",
               "--out", tmp_path, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no_such_policy" in done.stderr


def test_reader_that_stops_early_is_no_error() -> None:
    policy = ROOT / "lnn_ros" / "policies" / "fly_to_target.safetensors"
    with subprocess.Popen([sys.executable, "-m", "lnn_ros.cli", "inspect", str(policy)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # before anything is written
        assert process.stderr.read() == b""
        assert process.wait() == 0
