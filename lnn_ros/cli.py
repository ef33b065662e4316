"""The ``lnn_ros`` command: the library from a terminal.

Every subcommand lives in a module with ``add_arguments(parser)``, ``run(args) -> int`` (the exit
status) and a first docstring line that is its help. The modules are imported only when their
subcommand is used, so that ``lnn_ros --help`` is quick and works without the extras.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from lnn_ros.errors import LnnError

# Name, module, and the summary for `lnn_ros --help`, which imports none of the modules.
COMMANDS = {
    "demo": ("lnn_ros.nodes.demo",
             "Fly the shipped policy in the embedded simulator, as real ROS 2 nodes."),
    "doctor": ("lnn_ros.nodes.doctor.command",
               "Look at a running robot, and say what is wrong and how to mend it."),
    "data": ("lnn_ros.learning.data_command",
             "Look through recordings: what they hold, and whether a policy can learn from them."),
    "demonstrate": ("lnn_ros.learning.demonstrate",
                    "Record flights of the teacher, from which a policy learns."),
    "train": ("lnn_ros.learning.train",
              "Train a policy, and write it as a checkpoint."),
    "finetune": ("lnn_ros.learning.finetune_command",
                 "Fine-tune a policy on takeovers, and judge what comes of it."),
    "tune": ("lnn_ros.learning.tune",
             "Choose learning rate, size and solver of a core by its loss on validation worlds."),
    "evaluate": ("lnn_ros.learning.evaluate",
                 "Fly a policy and the controls through many worlds, and count."),
    "interpret": ("lnn_ros.learning.interpret",
                  "Show what a policy looks at, remembers and bases its commands on."),
    "calibrate": ("lnn_ros.learning.calibrate",
                  "Let a policy state how sure it is, or how unlike training its input is."),
    "store": ("lnn_ros.learning.store_command",
              "Show a robot's policy store; promote a policy, or roll back."),
    "recover": ("lnn_ros.recover_command",
                "Complete recordings that were cut short."),
    "replay": ("lnn_ros.replay.command",
               "Run a recorded bag through a policy, and compare with what it commanded live."),
    "worlds": ("lnn_ros.simulation.gazebo.command",
               "Write a world and its models for Gazebo, or check such files."),
    "faults": ("lnn_ros.nodes.faults.command",
               "Inject faults into a drone in flight, and judge what comes of each."),
    "foxglove": ("lnn_ros.nodes.foxglove",
                 "Print a layout for Foxglove with the topics of a run."),
    "inspect": ("lnn_ros.liquid.inspection",
                "Print what is in a policy's or a cell's file, and draw its wiring."),
    "export": ("lnn_ros.liquid.exporting.command",
               "Write a policy as an ONNX model, or as one C file."),
    "import": ("lnn_ros.liquid.importing.command",
               "Take over a network of ncps or keras-ncp as a cell file."),
}

# Top-level module -> the extra of setup.py that installs it.
EXTRAS = {
    **dict.fromkeys(("rclpy", "sensor_msgs", "geometry_msgs", "nav_msgs", "std_msgs", "std_srvs",
                     "diagnostic_msgs", "rosgraph_msgs", "lifecycle_msgs", "rcl_interfaces"),
                    "ros"),
    "rosbags": "ros", "mcap": "ros",
    **dict.fromkeys(("mujoco", "numba", "matplotlib", "av"), "sim"),
    "torch": "train",
    "onnx": "export",
    "optuna": "tune",
    "ray": "ray",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        The subcommand's status; 2 for input that a person can correct, said in one line.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = words[0] if words and words[0] in COMMANDS else None
    parser = argparse.ArgumentParser(prog="lnn_ros", description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    try:
        run = None
        for name, (module_name, summary) in COMMANDS.items():
            subparser = subparsers.add_parser(name, help=summary, description=summary)
            if name == chosen:
                module = importlib.import_module(module_name)
                subparser.description = (module.__doc__ or summary).strip().splitlines()[0]
                module.add_arguments(subparser)
                run = module.run
        args = parser.parse_args(words)
        status = 2 if run is None else run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Who read it has seen enough (`| head`). Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except LnnError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        return _fail(f"lnn_ros {chosen} needs the Python module {missing}, which is not "
                     f"installed: install the extra '{EXTRAS[missing]}' with "
                     f"pip install 'lnn_ros[{EXTRAS[missing]}]'")
    except KeyboardInterrupt:
        return 130


def _fail(sentence: str) -> int:
    sys.stderr.write(f"lnn_ros: {sentence}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
