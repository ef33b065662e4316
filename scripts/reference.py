#!/usr/bin/env python3
"""Write docs/reference/parameters.md and launch.md from the tables in the code.

`reference.py --check` only tells whether they are up to date, with exit status 1 if not.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros.nodes import options, settings, table  # noqa: E402  (found only now)

MADE_BY = "<!-- Written by scripts/reference.py from the code: change it there. -->\n"


def parameters() -> str:
    """Return the page about every node's parameters."""
    lines = [
        "# Parameters", "", MADE_BY,
        "Every node also has `use_sim_time`. `config/nodes/drone.yaml` sets them for a drone; "
        "`ros2 param describe` says the same as this page.", "",
        "*When* is the moment at which a new value counts. One marked *unconfigured only* is "
        "refused while the node is configured.", ""]
    for node, dataclass in settings.SETTINGS.items():
        lines += [f"## {node}", "", "| Name | Default | Must be | When | What |",
                  "|---|---|---|---|---|"]
        for row in settings.rows(dataclass):
            default = str(row.default).lower() if isinstance(row.default, bool) else row.default
            when = row.when + (", unconfigured only" if row.fixed else "")
            lines.append(f"| `{row.name}` | `{default}` | {row.constraint} | {when} | "
                         f"{row.description} |")
        lines.append("")
    return "\n".join(lines)


def launch() -> str:
    """Return the page about the launch file's arguments."""
    lines = [
        "# Launch arguments", "", MADE_BY,
        "`ros2 launch lnn_ros drone.launch.py NAME:=VALUE ...`; `--show-args` says the same as "
        "this page. A value that is not possible ends the launch with one sentence, before "
        "anything is started.", "",
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


PAGES = {"docs/reference/parameters.md": parameters, "docs/reference/launch.md": launch}


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
