#!/usr/bin/env python3
"""Make, or check, the Python environment behind `make demo` and `make test`.

    bootstrap.py [--python PYTHON] EXTRAS [VENV]     make VENV (.venv) with these extras
    bootstrap.py --given VENV EXTRAS                 only check an environment that is not ours

What is there already is neither touched nor mentioned. What stands in the way is said in one
sentence that names the remedy, with exit status 1. Standard library only, and in a syntax that
Python 3.5 can read, so that an old Python gets its sentence too.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST, NEWEST = (3, 10), (3, 14)
STAMP = "lnn_ros.json"

# Everything that decides what is installed.
DECISIVE = ("setup.py", "setup.cfg", "constraints/wheels.txt", "constraints/kilted.txt",
            "constraints/ros.txt", "scripts/bootstrap.py")

# Free space that an environment needs to be made, in GB: its size and pip's downloads.
NEEDED_GB = {"ros": 0.4, "kilted": 0.4, "sim": 1.0, "train": 1.8, "dev": 0.9}

# A module of every requirement, by extra: what a given environment is asked for.
MODULES = {
    "": ["mcap", "numpy", "PIL", "yaml", "safetensors", "rosbags", "zstandard"],
    "ros": ["rclpy", "sensor_msgs", "geometry_msgs", "nav_msgs", "std_msgs", "std_srvs",
            "diagnostic_msgs", "rosgraph_msgs", "lifecycle_msgs", "rcl_interfaces",
            "ament_flake8", "ament_pep257"],
    "sim": ["mujoco", "numba", "matplotlib", "av"],
    "train": ["torch", "numba", "llvmlite", "scipy"],
    "export": ["onnx"],
    "tune": ["optuna"],
    "ray": ["ray"],
    "dev": ["pytest", "xdist", "hypothesis", "scipy", "catkin_pkg", "ruff", "mypy",
            "flake8", "pydocstyle", "ncps", "onnx", "onnxruntime", "optuna", "ray", "ziglang",
            "mkdocs", "markdown", "markdown_it", "bandit"],
}

MODULES["kilted"] = MODULES["ros"]

NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|ReadTimeout"
    r"|Connection refused|Network is unreachable|Temporary failure in name resolution"
    r"|connection broken|Max retries exceeded", re.IGNORECASE)
NO_SPACE = re.compile(r"No space left on device|Errno 28|Disk quota exceeded|File too large"
                      r"|Errno 27", re.IGNORECASE)


class Obstacle(Exception):
    """What stands in the way, in one sentence that says what to do."""


def main(argv=None):
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", help="extras of setup.py, separated by commas")
    parser.add_argument("venv", nargs="?", default=".venv", help="folder (default: .venv)")
    parser.add_argument("--python", default="", help="the Python to make it with")
    parser.add_argument("--given", metavar="VENV", help="check this environment, install nothing")
    args = parser.parse_args(argv)
    extras = args.extras.split(",")
    try:
        if args.given:
            check_given(args.given, extras)
        else:
            make(os.path.join(ROOT, args.venv), extras, args.python)
    except Obstacle as obstacle:
        sys.stderr.write("lnn_ros: {}\n".format(obstacle))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def make(venv, extras, python):
    """Bring the environment up to date; quick and silent where nothing is to be done."""
    ros = os.environ.get("ROS_DISTRO", "") if os.environ.get("AMENT_PREFIX_PATH") else ""
    stamp = read_stamp(venv)
    # An environment knows its own path: one that was moved or copied is made anew.
    usable = (stamp.get("pip") and stamp.get("venv") == venv and stamp.get("ros") == ros
              and os.path.exists(os.path.join(venv, "bin", "python"))
              and (not python or version_of(python) == stamp.get("python")))
    installed = set(stamp["extras"]) if usable else set()
    if set(extras) <= installed and stamp["key"] == key():
        return

    name = os.path.relpath(venv)
    if os.path.isdir(venv) and not stamp:
        raise Obstacle(
            "{0} was not made by this Makefile and is left alone: move it away, or use it as it "
            "is with VENV={0}.".format(name))
    if not ros:
        check_platform(platform.machine(), platform.libc_ver())
    found = None if usable else choose_python(python, ros)
    check_disk(venv, set(extras) - installed)
    if usable:
        say("bringing {} up to date.".format(name))
    else:
        say("making {} with Python {}{}; this takes minutes, once.".format(
            name, version_of(found), " beside ROS 2 " + ros if ros else ""))
        create(venv, found, ros)
    installed |= set(extras)
    install(venv, installed, ros)
    write_stamp(venv, dict(read_stamp(venv), key=key(), extras=sorted(installed)))


def say(sentence):
    """Tell at once what is going on."""
    sys.stdout.write("lnn_ros: {}\n".format(sentence))
    sys.stdout.flush()


def key():
    """Return a digest of everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in DECISIVE:
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read_stamp(venv):
    """Return what this script noted in the environment; empty where it made none."""
    try:
        with open(os.path.join(venv, STAMP)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def write_stamp(venv, stamp):
    """Note in the environment what it holds."""
    partial = os.path.join(venv, STAMP + ".partial")
    try:
        with open(partial, "w") as file:
            json.dump(stamp, file)
        os.replace(partial, os.path.join(venv, STAMP))
    except OSError as error:
        raise obstacle_of(str(error), venv) from error


def ask(python, code):
    """Return what Python code prints in another interpreter; None where it fails."""
    try:
        done = subprocess.run(  # nosec B603  # a list of words, no shell
            [python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            universal_newlines=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version_of(python):
    """Return an interpreter's version, such as '3.11'; None where it does not run."""
    if python == sys.executable:
        return "{}.{}".format(*sys.version_info)
    return ask(python, "import sys; print('%d.%d' % sys.version_info[:2])")


def choose_python(python, ros):
    """Return the interpreter to make the environment with."""
    if python:
        candidates = [python]
    else:
        names = ["python3.{}".format(minor) for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        candidates = [sys.executable, "/usr/bin/python3", *filter(None, map(shutil.which, names))]
    versions = [(candidate, version_of(candidate)) for candidate in candidates]
    if python and versions[0][1] is None:
        raise Obstacle("PYTHON={} does not run: expected a Python interpreter.".format(python))
    fitting = [(candidate, version) for candidate, version in versions
               if version and OLDEST <= numbers(version) <= NEWEST]
    if not fitting:
        raise Obstacle(
            "Python {} is {}: install Python 3.10 to 3.14 with its venv module, and name it with "
            "PYTHON=/path/to/python3 if it is not on the PATH.".format(
                versions[0][1], "too old" if numbers(versions[0][1]) < OLDEST else "too new"))
    if ros:
        fitting = [(c, v) for c, v in fitting if ask(c, "import rclpy; print()") is not None]
        if not fitting:
            raise Obstacle(
                "ROS 2 {} is sourced, but no Python here can import its rclpy: name the one that "
                "it was built for with PYTHON=/usr/bin/python3, or use a shell in which no ROS is "
                "sourced.".format(ros))
    for candidate, _ in fitting:
        if ask(candidate, "import venv, ensurepip; print()") is not None:
            return candidate
    raise Obstacle(
        "Python {0} lacks its venv module: install it (on Debian and Ubuntu: sudo apt install "
        "python{0}-venv) and run the same command again.".format(fitting[0][1]))


def numbers(version):
    """Return '3.11' as (3, 11)."""
    return tuple(int(part) for part in version.split("."))


def check_platform(machine, libc):
    """Raise where the ROS wheels cannot run.

    Parameters are what the `platform` module says of the machine and of Python's C library.
    """
    if machine not in ("x86_64", "AMD64"):
        raise Obstacle(
            "ROS 2 from PyPI exists for x86-64 only and this machine is {}: install ROS 2 (Humble "
            "or later), source its setup.bash, and run the same command again.".format(machine))
    name, version = libc
    if name != "glibc" or numbers(re.match(r"\d+\.\d+", version).group()) < (2, 28):
        raise Obstacle(
            "ROS 2 from PyPI needs glibc 2.28 or newer and this system has {}: use Debian 11, "
            "Ubuntu 22.04 or newer, in a container if need be.".format(
                "glibc " + version if name == "glibc" else name or "another C library"))


def check_disk(venv, extras):
    """Raise where the disk clearly cannot hold what is about to be installed."""
    needed = sum(NEEDED_GB.get(extra, 0) for extra in extras)
    free = shutil.disk_usage(os.path.dirname(venv)).free / 1e9
    if free < needed:
        raise Obstacle(
            "the disk is too full: {} needs about {:.1f} GB and {:.1f} GB are free under {}: make "
            "room and run the same command again.".format(
                os.path.relpath(venv), needed, free, os.path.dirname(venv)))


def create(venv, python, ros):
    """Make an empty environment, in place of an old one of ours."""
    try:
        if os.path.isdir(venv):
            shutil.rmtree(venv)
        os.makedirs(venv)
    except OSError as error:
        raise obstacle_of(str(error), venv) from error
    # First of all, so that what an interrupted run leaves behind is known as ours.
    stamp = {"key": "", "extras": [], "venv": venv, "ros": ros, "python": version_of(python),
             "pip": False}
    write_stamp(venv, stamp)
    site = ["--system-site-packages"] if ros else []
    # `python -m venv` would start ensurepip itself, and keep to itself why it failed.
    for command in ([python, "-m", "venv", "--without-pip", *site, venv],
                    [os.path.join(venv, "bin", "python"), "-m", "ensurepip", "--default-pip"]):
        status, output = run(command)
        if status != 0:
            raise obstacle_of(output, venv)
    write_stamp(venv, dict(stamp, pip=True))


def install(venv, extras, ros):
    """Install the package, editable, with the extras, as the constraints say."""
    if "kilted" in extras:
        constraints = write_kilted_constraints(venv)
    else:
        constraints = os.path.join(ROOT, "constraints", "ros.txt" if ros else "wheels.txt")
    extras = sorted(extra for extra in extras if not (ros and extra == "ros"))
    pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "--disable-pip-version-check",
           "install", "--retries", "3", "--timeout", "60", "--constraint", constraints]
    # Built with the pinned setuptools of the environment: isolation would download another.
    for what in (["setuptools"],
                 ["--no-build-isolation", "--editable", "{}[{}]".format(ROOT, ",".join(extras))]):
        status, output = run(pip + what)
        if status != 0:
            raise obstacle_of(output, venv)


def write_kilted_constraints(venv):
    """Write the constraints of Kilted into the environment: wheels.txt with other ROS packages."""
    lines = []
    for name, is_ros in (("wheels.txt", False), ("kilted.txt", True)):
        with open(os.path.join(ROOT, "constraints", name)) as file:
            lines += [line for line in file if line.startswith("ros-") == is_ros]
    path = os.path.join(venv, "constraints.txt")
    with open(path, "w") as file:
        file.writelines(lines)
    return path


def run(command):
    """Run a command, with a line on its progress where someone watches; return status, output."""
    watched = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    lines = []
    process = subprocess.Popen(  # nosec B603  # a list of words, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    for line in process.stdout:
        lines.append(line)
        if watched and re.match(r"\s*(Collecting|Downloading|Installing|Building)", line):
            sys.stdout.write("\r" + line.strip()[:width].ljust(width))
            sys.stdout.flush()
    if watched:
        sys.stdout.write("\r" + " " * width + "\r")
    return process.wait(), "".join(lines)


def obstacle_of(output, venv):
    """Return the sentence for what pip or venv printed when it failed."""
    if NO_SPACE.search(output):
        return Obstacle(
            "the disk is full: make room for {}, for pip's cache (pip cache purge empties it) and "
            "for temporary files (TMPDIR), and run the same command again.".format(
                os.path.relpath(venv)))
    if NO_NETWORK.search(output):
        return Obstacle(
            "the Python packages could not be downloaded: connect this machine to the Internet "
            "(behind a proxy or with a mirror: set HTTPS_PROXY or PIP_INDEX_URL) and run the same "
            "command again.")
    tail = "".join(output.splitlines(True)[-15:])
    return Obstacle("{} could not be made; the last words were:\n{}".format(
        os.path.relpath(venv), tail))


def check_given(venv, extras):
    """Raise where an environment that someone else made lacks a module."""
    python = os.path.join(venv, "bin", "python")
    if version_of(python) is None:
        raise Obstacle("VENV={} holds no Python that runs: expected {} to be the interpreter of "
                       "an environment.".format(venv, python))
    modules = [module for extra in ["", *extras] for module in MODULES[extra]]
    missing = ask(python, "import importlib.util as u\n"
                          "print(*[m for m in {!r} if not u.find_spec(m)])".format(modules))
    if missing:
        raise Obstacle(
            "VENV={0} lacks the Python modules {1}: install them there, with {2} -m pip install "
            "-c constraints/wheels.txt '.[{3}]' for example.".format(
                venv, ", ".join(missing.split()), python, ",".join(extras)))


if __name__ == "__main__":
    sys.exit(main())
