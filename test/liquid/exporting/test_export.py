"""Policies and cells as ONNX and as C: built, run, and compared to what numpy makes of them.

C is compiled by every compiler that there is: the machine's own, and the one that comes from PyPI
with this environment, so that nothing is left out on a machine without any.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cell_cases import random_run
from exports import CELLS, assert_close, cell_checkpoint, compile_c, found, sanitizer, session
from policies_for_tests import small_checkpoint, summaries

from lnn_ros import policies
from lnn_ros.liquid.checkpoint import load
from lnn_ros.liquid.engine import Engine
from lnn_ros.liquid.exporting.c_export import cell_source, policy_source
from lnn_ros.liquid.exporting.onnx_export import OPSET, cell_model, policy_model, read_model
from lnn_ros.liquid.exporting.tracing import cell_weights
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import SUMMARY

DT = (0.0, 0.013, 30.0, 0.0005, 0.4, 0.05, 0.0, 2.0, 0.033, 0.1, 30.0, 0.02)
"""An irregular stream: no time, and half a minute, among the rest."""
COMPILERS = found()


def cell_run(case):
    """Inputs, states, activities and outputs along the stream, in numpy, float32."""
    checkpoint = cell_checkpoint(case)
    cell, w = checkpoint.cell, cell_weights(checkpoint)
    inputs = random_run(case, np.random.default_rng(5), (len(DT),)).astype(np.float32)
    state, made = cell.initial_state().astype(np.float32), []
    for dt, x in zip(DT, inputs, strict=True):
        state = cell.predict(NUMPY, w, state, np.array([dt], np.float32))
        state = cell.update(NUMPY, w, state, x)
        activity = cell.activity(NUMPY, state)
        outputs = activity[len(activity) - cell.read :] @ checkpoint.arrays["readout.weight"]
        made.append((state, activity, outputs + checkpoint.arrays["readout.bias"]))
    return inputs, *map(np.array, zip(*made, strict=True))


POLICIES = ("shipped", "flow", "feedforward")
CAMERA = np.arange(len(DT)) % 3 != 1
"""A third of the intervals is closed without a frame."""


@cache
def policy(name):
    """Read what ships when it is asked for: where it cannot be, its own tests say so."""
    return load(policies.path("fly_to_target")) if name == "shipped" else small_checkpoint(name)


@cache
def policy_run(name):
    """Frames, summaries, states and commands along the stream."""
    checkpoint = policy(name)
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 256, (len(DT), *checkpoint.spec.encoder.frame_shape), np.uint8)
    # What sensors say: turning at up to 1 rad/s, gravity, a fresh IMU.
    summary = summaries(rng, np.array(DT), CAMERA, spread=0.5)
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    state, states, commands = engine.initial(), [], []
    for dt, frame, numbers, there in zip(DT, frames, summary, CAMERA, strict=True):
        engine.predict(state, dt, state)
        engine.update(state, engine.encode(frame) if there else None, numbers)
        states.append(state.copy())
        commands.append(engine.command(state))
    return frames, summary, np.array(states), np.array(commands)


def assert_same_policy(name, states, commands):
    _, _, wanted, wanted_commands = policy_run(name)
    cell = policy(name).spec.core
    for part in cell.parts():
        where = cell.where(part)
        if where.start < where.stop:
            # Rates are an exponential over a factor of 600: it multiplies the rounding by 6.
            limit = 6e-5 if part == "rate" else 1e-5
            assert_close(np.asarray(states)[:, where], wanted[:, where], limit)
    assert_close(commands, wanted_commands)


# -- ONNX ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_onnx_policy_is_the_policy(name):
    frames, summary, *_ = policy_run(name)
    checkpoint = policy(name)
    step, read = session(policy_model(checkpoint)), session(read_model(checkpoint))
    state = Engine(checkpoint.spec, checkpoint.arrays).initial()[None]
    states, commands = [], []
    for dt, frame, numbers in zip(DT, frames, summary, strict=True):
        feed = {"state": state, "dt": np.array([[dt]], np.float32)}
        feed |= {"frame": frame[None], "summary": numbers[None]}
        state, command = step.run(["next_state", "command"], feed)
        # Nothing has happened since: the read-out says the same.
        (again,) = read.run(None, {"state": state, "dt": np.zeros((1, 1), np.float32)})
        np.testing.assert_array_equal(again, command)
        states.append(state[0])
        commands.append(command[0])
    assert_same_policy(name, states, commands)


def other_frames(frames):
    """The same where a frame closes the interval, and something else where none does."""
    return np.where(CAMERA[:, None, None, None], frames, 255 - frames)


def test_onnx_does_not_look_at_a_frame_that_is_not_there():
    frames, summary, states, _ = policy_run("flow")
    step = session(policy_model(policy("flow")))
    feed = {"state": states, "dt": np.array(DT, np.float32)[:, None], "summary": summary}
    one, other = (step.run(None, {**feed, "frame": f}) for f in (frames, other_frames(frames)))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_onnx_read_out_follows_the_flow_between_frames():
    checkpoint = policy("flow")
    _, _, states, _ = policy_run("flow")
    engine = Engine(checkpoint.spec, checkpoint.arrays)
    read = session(read_model(checkpoint))
    for state in states:
        for dt in DT:
            later = state.copy()
            engine.predict(state, dt, later)
            feed = {"state": state[None], "dt": np.array([[dt]], np.float32)}
            assert_close(read.run(None, feed)[0][0], engine.command(later))


def test_onnx_takes_a_batch_of_any_size():
    frames, summary, states, _ = policy_run("flow")
    step = session(policy_model(policy("flow")))
    dt = np.array(DT, np.float32)[:, None]
    feed = {"state": states, "dt": dt, "frame": frames, "summary": summary}
    together = step.run(None, feed)
    for i in range(len(DT)):
        alone = step.run(None, {name: value[i : i + 1] for name, value in feed.items()})
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CELLS, ids=str)
def test_onnx_cell_is_the_cell(case):
    inputs, *wanted = cell_run(case)
    checkpoint = cell_checkpoint(case)
    run = session(cell_model(checkpoint)).run
    state, made = checkpoint.cell.initial_state().astype(np.float32)[None], []
    for dt, x in zip(DT, inputs, strict=True):
        feed = {"state": state, "dt": np.array([[dt]], np.float32), "inputs": x[None]}
        state, *rest = run(["next_state", "activity", "outputs"], feed)
        made.append((state[0], *(each[0] for each in rest)))
    for each, numpys in zip(zip(*made, strict=True), wanted, strict=True):
        assert_close(each, numpys)


def test_onnx_turns_images_around_once():
    model = policy_model(policy("shipped"))
    assert [node.op_type for node in model.graph.node].count("Transpose") == 1


def test_onnx_carries_its_papers():
    checkpoint = policy("shipped")
    model = policy_model(checkpoint)
    papers = {entry.key: entry.value for entry in model.metadata_props}
    assert papers["name"] == "fly_to_target"
    assert papers["weights_sha256"] == checkpoint.weights_digest()
    assert json.loads(papers["first_interval"]) == checkpoint.spec.first_interval
    assert json.loads(papers["streams"])["camera"]["shape"] == [48, 64, 3]
    initial = Engine(checkpoint.spec, checkpoint.arrays).initial()
    assert_close(json.loads(papers["initial_state"]), initial)
    assert [entry.version for entry in model.opset_import] == [OPSET]


# -- C ------------------------------------------------------------------------------------------

DRIVER = """
#include <stdio.h>
#include "policy.c"

int main(void)
{
    lnn_policy_state state;
    lnn_policy_reset(&state);
    static uint8_t frame[FRAME];
    float dt, summary[SUMMARY], command[4];
    while (fread(&dt, sizeof dt, 1, stdin) == 1 && fread(frame, sizeof frame, 1, stdin) == 1
           && fread(summary, sizeof summary, 1, stdin) == 1) {
        const int predicted = lnn_policy_predict(&state, dt);
        const int updated = lnn_policy_update(&state, frame, summary);
        const float codes[2] = {(float)predicted, (float)updated};
        lnn_policy_command(&state, command);
        fwrite(codes, sizeof codes, 1, stdout);
        fwrite(state.state, sizeof state.state, 1, stdout);
        fwrite(command, sizeof command, 1, stdout);
    }
    return 0;
}
"""


@pytest.fixture(params=COMPILERS)
def compiler(request):
    return COMPILERS[request.param]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a function: compiler and policy to a program that takes a stream through it."""
    programs: dict[tuple[tuple[str, ...], str], Path] = {}

    def program(compiler, name):
        if (compiler, name) not in programs:
            folder, checkpoint = tmp_path_factory.mktemp("policy"), policy(name)
            (folder / "policy.c").write_text(policy_source(checkpoint))
            (folder / "driver.c").write_text(DRIVER)
            size = int(np.prod(checkpoint.spec.encoder.frame_shape))
            sizes = (f"-DFRAME={size}", f"-DSUMMARY={len(SUMMARY)}")
            options = ("-O1", *sizes, *sanitizer(compiler, folder))
            done = compile_c(compiler, folder / "driver", [folder / "driver.c"], *options)
            assert done.returncode == 0, done.stderr
            programs[compiler, name] = folder / "driver"
        return programs[compiler, name]

    return program


def through(program, checkpoint, dt, frames, summary):
    """Return codes, states and commands."""
    records = zip(np.asarray(dt, np.float32), frames, summary, strict=True)
    sent = b"".join(a.tobytes() + b.tobytes() + c.tobytes() for a, b, c in records)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program], input=sent, capture_output=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    size = checkpoint.spec.core.state_size
    rows = np.frombuffer(done.stdout, np.float32).reshape(len(frames), 2 + size + 4)
    return rows[:, :2], rows[:, 2:-4], rows[:, -4:]


@pytest.mark.parametrize("name", POLICIES)
def test_c_policy_is_the_policy(name, compiler, built):
    frames, summary, *_ = policy_run(name)
    checkpoint, program = policy(name), built(compiler, name)
    codes, states, commands = through(program, checkpoint, DT, frames, summary)
    assert not codes.any()
    assert_same_policy(name, states, commands)
    # A frame that is not there is not looked at.
    _, others, _ = through(program, checkpoint, DT, other_frames(frames), summary)
    np.testing.assert_array_equal(others, states)


def test_c_refuses_what_is_no_number_and_keeps_its_state(compiler, built):
    frames, summary, *_ = policy_run("flow")
    checkpoint, program = policy("flow"), built(compiler, "flow")
    wrong = [np.nan, np.inf, -np.inf, -1e-9, -30.0]
    times, numbers = np.zeros(len(DT)), np.array(summary)
    times[1 : 1 + len(wrong)] = wrong
    numbers[2:] = np.nan  # from here on, updates are refused as well
    numbers[-1] = summary[-1]
    numbers[-1, 3] = -np.inf
    codes, states, _ = through(program, checkpoint, times, frames, numbers)
    assert codes[:, 0].tolist() == [0, *[1] * len(wrong), *[0] * (len(DT) - 1 - len(wrong))]
    assert codes[:, 1].tolist() == [0, 0, *[1] * (len(DT) - 2)]
    np.testing.assert_array_equal(states[2:], np.broadcast_to(states[1], states[2:].shape))
    # Without the refused times: the same.
    _, clean, _ = through(program, checkpoint, [0, 0], frames[:2], summary[:2])
    np.testing.assert_array_equal(states[:2], clean)


def test_c_keeps_its_state_where_the_result_would_not_be_finite(compiler, built):
    frames, summary, *_ = policy_run("flow")
    checkpoint, program = policy("flow"), built(compiler, "flow")
    largest, numbers = np.finfo(np.float32).max, np.array(summary[:3])
    numbers[1:] = np.nan  # no update: the elapsed time goes on growing
    codes, states, _ = through(program, checkpoint, [0.1, largest, largest], frames[:3], numbers)
    assert codes.tolist() == [[0, 0], [0, 1], [2, 1]]
    assert np.isfinite(states).all()
    np.testing.assert_array_equal(states[2], states[1])


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Return a function: compiler to the library that holds all cells."""
    folder, sources = tmp_path_factory.mktemp("cells"), []
    for i, case in enumerate(CELLS):
        names = ("reset", "predict", "update", "activity", "outputs")
        renamed = "".join(f"#define lnn_cell_{n} cell{i}_{n}\n" for n in names)
        sources.append(folder / f"cell{i}.c")
        sources[-1].write_text(renamed + cell_source(cell_checkpoint(case)))
    libraries: dict[tuple[str, ...], ctypes.CDLL] = {}

    def library(compiler):
        if compiler not in libraries:
            target = folder / f"cells{len(libraries)}.so"
            done = compile_c(compiler, target, sources, "-O1", "-shared", "-fPIC")
            assert done.returncode == 0, done.stderr
            libraries[compiler] = ctypes.CDLL(str(target))
        return libraries[compiler]

    return library


@pytest.mark.parametrize("case", CELLS, ids=str)
def test_c_cell_is_the_cell(case, compiler, libraries):
    inputs, *wanted = cell_run(case)
    prefix, library = f"cell{CELLS.index(case)}", libraries(compiler)
    state, activity, outputs = (np.full(each.shape[1], 7, np.float32) for each in wanted)

    def call(name, *arguments):
        numbers = (a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a
                   for a in arguments)  # fmt: skip
        return getattr(library, f"{prefix}_{name}")(*numbers)

    call("reset", state)
    made = []
    for dt, x in zip(DT, inputs, strict=True):
        assert call("predict", state, ctypes.c_float(dt)) == 0
        assert call("update", state, x) == 0
        call("activity", state, activity)
        call("outputs", state, outputs)
        made.append((state.copy(), activity.copy(), outputs.copy()))
    for each, numpys in zip(zip(*made, strict=True), wanted, strict=True):
        assert_close(each, numpys)
    before = state.copy()
    assert call("update", state, np.full_like(inputs[0], np.nan)) == 1
    np.testing.assert_array_equal(state, before)


def test_c_holds_the_weights_to_the_last_bit():
    checkpoint = policy("shipped")
    text = policy_source(checkpoint)
    core = next(name for name in checkpoint.arrays if name.startswith("core.command."))
    for name in ("encoder.linear.bias", core, "head.weight"):
        block = re.search(rf"lnn_{name.replace('.', '_')}\[(\d+)\] = {{(.*?)}};", text, re.DOTALL)
        numbers = np.array([np.float32(n.strip()[:-1]) for n in block[2].split(",")])
        np.testing.assert_array_equal(numbers, checkpoint.arrays[name].ravel())
        assert int(block[1]) == numbers.size


def test_c_says_what_it_is():
    checkpoint = policy("shipped")
    comment = policy_source(checkpoint).partition("*/")[0]
    for part in (
        "fly_to_target",
        checkpoint.weights_digest(),
        "48 rows, 64 columns, 3 channels",
        "angular_rate_x, rad/s",
        f"[{SUMMARY.index('camera_present')}] camera_present, 0 or 1",
        "vx, -0.5 to 1.6 m/s",
        "0.1 for the first",
        "lnn_policy_update",
    ):
        assert part in comment


def test_a_name_from_a_file_stays_in_the_comment():
    plain = small_checkpoint()
    name = "x */ int evil; /* \\\n#error \u2028 ?"
    text = policy_source(replace(plain, card={**plain.card, "name": name}))
    ordinary = policy_source(plain)
    assert text.isascii()
    assert text.count("*/") == ordinary.count("*/")
    assert text.partition("*/")[2] == ordinary.partition("*/")[2]


def test_c_in_the_documentation_compiles(compiler, tmp_path):
    page = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "export-a-policy.md"
    (example,) = re.findall(r"```c\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "policy.c").write_text(policy_source(policy("flow")))
    (tmp_path / "example.c").write_text(
        f"{example}\nint main(void)\n{{\n    return fly(0, -1.0f, 0, 0, 0.0f, 0, 0) != -1;\n}}\n"
    )
    done = compile_c(compiler, tmp_path / "example", [tmp_path / "example.c"], "-O1")
    assert done.returncode == 0, done.stderr
    assert subprocess.run([tmp_path / "example"], check=False).returncode == 0
