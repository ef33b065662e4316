"""Packaging for pip and, as ros.ament_python, for colcon."""

from glob import glob
from os.path import dirname, isfile

from setuptools import find_packages, setup

NAME = "lnn_ros"
SHARE = f"share/{NAME}"


def tree(folder):
    """Return the data_files entries that install a folder of the repository below share/."""
    files = sorted(f for f in glob(f"{folder}/**", recursive=True) if isfile(f))
    folders = sorted({dirname(f) for f in files if "__pycache__" not in f})
    return [(f"{SHARE}/{d}", [f for f in files if dirname(f) == d]) for d in folders]


setup(
    name=NAME,
    version="0.1.0",
    description="Liquid neural networks that fly and drive ROS 2 robots on the sensors' real "
                "message times",
    license="Apache-2.0",
    maintainer="The lnn_ros maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"], f"{NAME}.policies": ["*.safetensors"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        *tree("launch"),
        *tree("config"),
        *tree("worlds"),
        # `ros2 run` and launch look for executables here, where pip's console scripts never lie.
        (f"lib/{NAME}", [f"scripts/{name}" for name in (
            "controller", "companion", "simulator", "vehicle_adapter")]),
    ],
    entry_points={"console_scripts": [f"{NAME} = {NAME}.cli:main"]},
    python_requires=">=3.10",
    install_requires=["mcap", "numpy", "pillow", "PyYAML", "rosbags", "safetensors", "setuptools",
                      "zstandard"],
    extras_require={
        # ROS 2 Jazzy from PyPI, for a machine without a ROS 2 installation.
        "ros": [
            "ros-rclpy[fastrtps]==7.1.6",
            "ros-common-interfaces==5.3.6",
            "ros-lifecycle-msgs==2.0.3",
            "ros-rcl-interfaces==2.0.3",
            "ros-rosgraph-msgs==2.0.3",
            "ros-ament-flake8==0.17.3",
            "ros-ament-pep257==0.17.3",
        ],
        # The same of Kilted, in an environment of its own: the tests run on both.
        "kilted": [
            "ros-rclpy[fastrtps]==9.1.2",
            "ros-common-interfaces==5.5.1",
            "ros-lifecycle-msgs==2.3.0",
            "ros-rcl-interfaces==2.3.0",
            "ros-rosgraph-msgs==2.3.0",
            "ros-ament-flake8==0.19.2",
            "ros-ament-pep257==0.19.2",
        ],
        "sim": ["mujoco", "numba", "matplotlib", "av"],
        # numba compiles the kernels of cells; it takes its BLAS from scipy.
        "train": ["torch==2.13.0", "numba", "scipy"],
        "export": ["onnx"],
        "tune": ["optuna"],
        # Flights on many machines.
        "ray": ["ray"],
        # ncps is what cells are compared with; ziglang is a C compiler for exported policies.
        "dev": ["pytest<9", "pytest-xdist", "hypothesis", "scipy", "catkin-pkg", "ruff",
                "mypy", "types-PyYAML", "flake8", "pydocstyle", "ncps==1.0.1", "onnx",
                "onnxruntime", "optuna", "ray", "ziglang", "mkdocs==1.6.1", "markdown-it-py",
                "bandit==1.9.4"],
    },
    zip_safe=False,
)
