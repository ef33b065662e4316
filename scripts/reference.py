#!/usr/bin/env python3
"""Write docs/reference/parameters.md, launch.md, commands.md and robots.md from the code.

`reference.py --check` only tells whether they are up to date, with exit status 1 if not.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros import vehicles  # noqa: E402  (found only now)
from lnn_ros.cli import COMMANDS  # noqa: E402
from lnn_ros.nodes import (  # noqa: E402
    options,
    robots,
    settings,
    table,
)
from lnn_ros.nodes.parameter_rows import rows  # noqa: E402
from lnn_ros.simulation.conditions import CONDITIONS  # noqa: E402
from lnn_ros.simulation.shifts import KINDS  # noqa: E402
from lnn_ros.simulation.task import Task  # noqa: E402
from lnn_ros.vehicles.base import LASTS_S  # noqa: E402

MADE_BY = "<!-- Written by scripts/reference.py from the code: change it there. -->\n"


def parameters() -> str:
    """Return the page about every node's parameters."""
    lines = [
        "# Parameters", "", MADE_BY,
        "Every node also has `use_sim_time`. `config/nodes/drone.yaml` sets them for a drone, "
        "`config/nodes/rover.yaml` for a rover; `ros2 param describe` says the same as this page.",
        "",
        "*When* is the moment at which a new value counts. One marked *unconfigured only* is "
        "refused while the node is configured.", ""]
    for node, dataclass in settings.SETTINGS.items():
        lines += [f"## {node}", "", "| Name | Default | Must be | When | What |",
                  "|---|---|---|---|---|"]
        for row in rows(dataclass):
            default = str(row.default).lower() if isinstance(row.default, bool) else row.default
            when = row.when + (", unconfigured only" if row.fixed else "")
            lines.append(f"| `{row.name}` | `{default}` | {row.constraint} | {when} | "
                         f"{row.description} |")
        lines.append("")
    return "\n".join(lines)


def launch() -> str:
    """Return the page about the launch files' arguments."""
    lines = [
        "# Launch arguments", "", MADE_BY,
        "`ros2 launch lnn_ros drone.launch.py NAME:=VALUE ...`; `--show-args` says the same as "
        "this page. A value that is not possible ends the launch with one sentence, before "
        "anything is started. `rover.launch.py` starts the nodes of a rover: it takes all of these "
        "but `drones`, and its parameter file is `config/nodes/rover.yaml`.", "",
        "| Name | Default | What |", "|---|---|---|"]
    lines += [f"| `{a.name}` | {f'`{a.default}`' if a.default else 'empty'} | {a.description} |"
              for a in options.ARGUMENTS]
    lines += ["", "Processes that it starts:", "", "| `sim:=` | Processes |", "|---|---|"]
    for text, wanted in (
            *((f"`{sim}`", {"sim": sim}) for sim in options.SIMULATORS),
            ("`embedded`, with `lockstep: true` in the parameter file", {"lockstep": True}),
            ("`embedded`, with `drones:=2`", {"drones": 2})):
        found = options.NodeOptions(**wanted)
        names = [*(program.name for program in table.programs(found)),
                 *("/".join(filter(None, (spec.namespace, spec.name)))
                   for spec in table.nodes(found))]
        lines.append(f"| {text} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join([*lines, ""])


class _Recorder:
    """A parser that keeps the arguments it is told, in their order, whatever group they are in."""

    def __init__(self) -> None:
        self.told: list[argparse.Action] = []
        self._parser = argparse.ArgumentParser(add_help=False)

    def add_argument(self, *args: object, **options: object) -> argparse.Action:
        self.told.append(self._parser.add_argument(*args, **options))
        return self.told[-1]

    def add_argument_group(self, *_: object, **__: object) -> _Recorder:
        return self

    add_mutually_exclusive_group = add_argument_group


def commands() -> str:
    """Return the page about the command line."""
    lines = [
        "# Commands", "", MADE_BY,
        "`lnn_ros COMMAND ...` is the library from a terminal; `lnn_ros COMMAND --help` says the "
        "same as this page. It ends with 0 when it did what was asked, with 2 and one sentence for "
        "what a person can correct.", "",
        *(f"- [{name}](#{name}): {summary}" for name, (_, summary) in COMMANDS.items()), ""]
    for name, (module_name, _) in COMMANDS.items():
        module = importlib.import_module(module_name)
        recorder = _Recorder()
        module.add_arguments(recorder)
        needed = [_spelled(a) for a in recorder.told if not a.option_strings or a.required]
        lines += [f"## {name}", "", (module.__doc__ or "").strip().splitlines()[0], "",
                  f"    lnn_ros {' '.join([name, *needed])} ...", "",
                  "| Argument | Default | What |", "|---|---|---|"]
        lines += [f"| `{_spelled(a)}` | {_default(a)} | {_explained(a)} |" for a in recorder.told]
        lines.append("")
    return "\n".join(lines)


def _spelled(action: argparse.Action) -> str:
    """Return an argument as it is typed, such as ``--seeds FIRST:END``."""
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if isinstance(value, tuple):
        value = " ".join(value)
    if action.nargs == 0:
        value = ""
    elif action.nargs == "*":
        value = f"[{value} ...]"
    elif action.nargs == "?":
        value = f"[{value}]"
    return " ".join([*action.option_strings[:1], value]).strip()


def _default(action: argparse.Action) -> str:
    """Return the value that counts where an argument is not given."""
    if action.required or (not action.option_strings and action.nargs != "?"):
        return "must be given"
    if action.default in (None, "") or action.nargs == 0:
        return ""
    if isinstance(action.default, tuple):
        return f"`{' '.join(str(value) for value in action.default)}`"
    if isinstance(action.default, range):
        return f"`{action.default.start}:{action.default.stop}`"
    return f"`{action.default}`"


def _explained(action: argparse.Action) -> str:
    """Return an argument's help, and what it may be."""
    text = (action.help or "") % {**vars(action), "prog": "lnn_ros"}
    text = text.replace(f" (default: {_default(action).strip('`')})", "")
    words = "" if action.choices is None else ": " + ", ".join(f"`{c}`" for c in action.choices)
    return (text + words).replace("|", "\\|")


def profiles() -> str:
    """Return the page about robot profiles and the vehicles that they are told by."""
    lines = [
        "# Robot profiles", "", MADE_BY,
        "`robot:=NAME` sets remaps and parameters so that the nodes fit a robot: one file each in "
        "`config/robots`, or the path of your own. How to use and to write one: "
        "[on a robot](../how-to/run-on-a-robot.md#choose-a-profile). No robot was flown or driven "
        "with them: *tested* says what stood in for its messages.", "",
        "| Name | Robot | Kind | Vehicle | Tested with |", "|---|---|---|---|---|"]
    found = [robots.load(name) for name in robots.names()]
    lines += [f"| [`{r.name}`](#{r.name}) | {r.about} | {r.kind} | `{r.vehicle}` | {r.tested} |"
              for r in found]
    for robot in found:
        lines += ["", f"## {robot.name}", "", "| Our topic | The robot's |", "|---|---|"]
        lines += [f"| `{ours}` | `{its}` |" for ours, its in robot.remaps.items()]
        if not robot.remaps:
            lines.append("| | none is remapped |")
        lines += ["", "Parameters: " + ", ".join(
            f"`{name}: {str(value).lower() if isinstance(value, bool) else value}`"
            for name, value in robot.parameters.items()) + "."]
    lines += [
        "", "## Vehicles", "",
        "What the [vehicle adapter](interfaces.md#vehicle_adapter) tells and hears, by its "
        "parameter `vehicle`. It publishes reliably and keeps nothing for later; it listens best "
        "effort, which matches any offer, or reliably and for what was kept (latched). What a "
        f"vehicle has said counts for {LASTS_S:g} s, or as long as is said here. Frames, signs and "
        "their sources: `lnn_ros/vehicles/`.", "",
        "| Vehicle | | Topic | Type | |", "|---|---|---|---|---|"]
    for kind in vehicles.kinds():
        vehicle = vehicles.make(kind)
        lines += [f"| `{kind}` | is told | `{topic}` | {of} | |"
                  for topic, of in vehicle.takes.items()]
        for topic, of in vehicle.says.items():
            lasts = vehicle.lasts.get(topic)
            how = [] if lasts is None else [
                "counts until it changes" if lasts == float("inf") else f"counts for {lasts:g} s"]
            how += ["latched"] if topic in vehicle.latched else []
            lines.append(f"| `{kind}` | says | `{topic}` | {of} | {', '.join(how)} |")
    return "\n".join([*lines, ""])


def shifts() -> str:
    """Return the page about shifts and conditions of timing."""
    lines = [
        "# Shifts", "", MADE_BY,
        "`lnn_ros evaluate --shift NAME[:STRENGTH][,NAME...]` flies worlds in which something is "
        "otherwise than in training, one change on top of the other. What is random in it is drawn "
        "from the world's seed: every policy meets the same.", "",
        "![One picture under each shift of what is seen, at two strengths](../images/shifts.png)",
        "", "(`python scripts/shifts.py`, the start of world 300012.)", "",
        "Standard is what counts for a name alone: the strength at which, in validation worlds of "
        "`fly_to_target`, a policy without memory arrived in 40 to 70 %, where any can "
        "(`config/tasks`, [results](../results/README.md)). `stones`, `range`, `behind` and "
        "`renderer` have one that was not sought: it arrived in 97, 72 and 35 % under the first "
        "three; under `renderer` it was not flown. The other tasks take over what means something "
        "to them; `noise` of `lane` is 0.548, the greatest of the NCP paper.", "",
        "| Name | What, and what its strength is | Strength | Standard |", "|---|---|---|---|"]
    standard = Task.load("fly_to_target").shifts
    lines += [f"| `{name}` | {kind.about} | {kind.low:g} to {kind.high:g} | "
              f"{getattr(standard, name):g} |" for name, kind in KINDS.items()]
    lines += ["", "Without a strength, conditions of timing and pace "
              "([how it deals with time](../explanation/time.md)):", "", "| Name | What |",
              "|---|---|"]
    lines += [f"| `{name}` | {found.about} |" for name, found in CONDITIONS.items()]
    return "\n".join([*lines, ""])


PAGES = {"docs/reference/parameters.md": parameters, "docs/reference/launch.md": launch,
         "docs/reference/commands.md": commands, "docs/reference/robots.md": profiles,
         "docs/reference/shifts.md": shifts}


def main() -> int:
    """Write or check the pages; return the exit status."""
    old = [name for name, page in PAGES.items()
           if not (ROOT / name).is_file() or (ROOT / name).read_text() != page()]
    if "--check" in sys.argv[1:]:
        if old:
            sys.stderr.write(f"{', '.join(old)}: not as in the code: run scripts/reference.py\n")
        return 1 if old else 0
    for name in old:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
