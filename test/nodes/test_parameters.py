"""Settings: the same table for nodes, parameter file and documentation."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.nodes.parameter_rows import build, rows
from lnn_ros.nodes.parameters import descriptor
from lnn_ros.nodes.settings import SENSORS, SETTINGS, SimulatorSettings
from lnn_ros.resources import share_path
from lnn_ros.simulation.simulator import SimulatorOptions

ROWS = [(name, row) for name, settings in SETTINGS.items() for row in rows(settings)]
ROW = pytest.mark.parametrize("row", [row for _, row in ROWS],
                              ids=[f"{name}-{row.name}" for name, row in ROWS])


def flat(tree, prefix=""):
    """Return a parameter file's tree by full name."""
    found = {}
    for key, value in tree.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict)
                     else {f"{prefix}{key}": value})
    return found


def test_parameter_file_has_only_known_names_and_possible_values():
    with open(share_path("config/nodes/drone.yaml")) as file:
        given_values = flat(yaml.safe_load(file)["/**"]["ros__parameters"])
    known = {}
    for _, row in ROWS:
        known.setdefault(row.name, []).append(row)
    assert set(given_values) <= set(known)
    for name, value in given_values.items():
        for row in known[name]:
            shown = row.check(value)
            # The file shows the defaults, but for what a drone can do: a node knows no vehicle.
            assert shown == row.default or name.startswith(("normal.", "braking."))
    # Who copies the file shall find everything in it that is not a person's decision, but of the
    # guard, of changing policies and of learning only what everybody has to know: the rest is in
    # the reference, as the file says.
    rest = {name for name in set(known) - set(given_values) if "." not in name}
    assert rest == {"engage"}
    groups = {name.partition(".")[0] for name in set(known) - set(given_values) - rest}
    assert groups <= {"limits", "stopping", "obstacles", "fence", "novelty", "modes", "swap",
                      "finetune", *SENSORS}


@ROW
def test_default_is_possible_and_documented(row):
    assert row.check(row.default) == row.default
    assert row.description.endswith(".")
    said = descriptor(row)
    assert said.description == row.description
    assert row.constraint in said.additional_constraints
    if row.low is not None:
        (found,) = said.integer_range or said.floating_point_range
        assert (found.from_value, found.to_value) == (row.low, row.high)


@ROW
@pytest.mark.parametrize("value", [None, [], "text", True, 3, 2.5, float("nan"), float("inf"),
                                   -1e9, 10**12, b"x"], ids=repr)
def test_value_of_the_wrong_type_or_range_is_a_named_error(row, value):
    fits = type(value) is type(row.default) or (type(value), type(row.default)) == (int, float)
    if fits and (row.low is None or row.low <= value <= row.high):
        assert row.check(value) == value
        return
    with pytest.raises(LnnError, match=rf"parameter {row.name} is .*: expected"):
        row.check(value)


@given(st.dictionaries(st.sampled_from([row.name for row in rows(SimulatorSettings)]), st.none()))
def test_built_settings_have_the_given_values_and_the_defaults(names):
    table = {row.name: row for row in rows(SimulatorSettings)}
    values = {name: (not table[name].default if isinstance(table[name].default, bool)
                     else table[name].high if table[name].high is not None else "other")
              for name in names}
    built = flat(dataclasses.asdict(build(SimulatorSettings, values)))
    assert built == {**{name: row.default for name, row in table.items()}, **values}


@pytest.mark.parametrize(("node", "values", "sentence"), [
    ("controller", {"policy": " "}, "parameter policy is empty"),
    ("controller", {"base_frame": ""}, "parameter base_frame is empty"),
    ("companion", {"folder": ""}, "parameter folder is ''"),
])
def test_values_that_do_not_fit_are_a_named_error(node, values, sentence):
    with pytest.raises(LnnError, match=sentence):
        build(SETTINGS[node], values)


def test_simulator_node_and_library_agree_on_the_sensors():
    settings, options = SimulatorSettings(), SimulatorOptions()
    for stream in ("camera", "imu"):
        assert dataclasses.asdict(getattr(settings, stream)) == dataclasses.asdict(
            getattr(options, stream))
