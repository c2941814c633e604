"""Several processes: equal to one, stopping together, going on together."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from support import PYTHONPATH, ROOT, command, mesh_step

MESHES = [(8, 1), (2, 4), (1, 8)]


def in_a_new_process(*statements):
    """Runs statements where nothing of jax has started yet."""
    return subprocess.run(
        [
            sys.executable, "-c",
            "; ".join(["from mirrorgan_jax.parallel import hosts", *statements]),
        ],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


def test_without_a_cluster_a_process_is_alone():
    result = in_a_new_process("hosts.initialize()", "hosts.say('spoken')")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "spoken\n"


def test_a_cluster_that_is_demanded_must_be_there():
    result = in_a_new_process("hosts.initialize('on')")
    assert result.returncode != 0
    assert "ValueError: --distributed=on: no cluster found" in result.stderr


def take_steps(path, *, count, devices):
    """Arrays of `host_step.py` run as `count` processes of `devices` devices."""
    address = f"localhost:{command.free_port()}"
    processes = [
        subprocess.Popen(
            [
                sys.executable, "-m", "support.host_step", address, str(count),
                str(number), path, json.dumps(MESHES),
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                **command.virtual_devices(devices),
                "PYTHONPATH": PYTHONPATH,
            },
        )
        for number in range(count)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
    return dict(np.load(path))


def parts(found, prefix):
    """(state, metrics) among the arrays whose names start with `prefix`."""
    names = {key.removeprefix(prefix): key for key in found if key.startswith(prefix)}
    return tuple(
        {
            name.removeprefix(part): found[key]
            for name, key in names.items()
            if name.startswith(part)
        }
        for part in ("state ", "metrics ")
    )


def test_two_processes_equal_one(tmp_path):
    one = take_steps(tmp_path / "one.npz", count=1, devices=8)
    two = take_steps(tmp_path / "two.npz", count=2, devices=4)
    assert one.keys() == two.keys()
    for mesh in MESHES:
        # Where `spatial` spans the processes, both read the same rows.
        expected = range(8 if mesh[0] == 1 else 4)
        np.testing.assert_array_equal(two[f"{mesh} rows"], expected)
        np.testing.assert_array_equal(one[f"{mesh} rows"], range(8))
        for when in ("first", "last"):
            expected, actual = (parts(found, f"{mesh} {when} ") for found in (one, two))
            found = mesh_step.difference(actual, expected)
            assert found["loss"] <= 1e-5 and found["gradient"] <= 1e-4, (mesh, found)


def _said(processes):
    return [process.join() for process in processes]


FOREVER = ("--stage=stem", "--config.stem.num_steps=100000")


@pytest.mark.parametrize("victim", [0, 1])
def test_death_of_one_stops_the_other(tmp_path, tiny_data, victim):
    processes = command.hosts(tmp_path / "run", tiny_data, *FOREVER)
    processes[0].wait_for(lambda: command.steps(tmp_path / "run", "stem"))
    processes[victim].signal("SIGKILL")
    begin = time.monotonic()
    survivor = processes[1 - victim].join()
    assert time.monotonic() - begin < 60
    processes[victim].join()
    assert survivor.status != 0, survivor.output
    # The others hear it from a collective, or from jax's own service, which aborts.
    assert re.search("lost another one|another task died", survivor.output), (
        survivor.output
    )
    # What was saved before is whole.
    step = command.steps(tmp_path / "run", "stem")[-1]
    assert command.saved(tmp_path / "run", "stem")["state/step"] == step


STEM = (
    "--stage=stem",
    "--config.stem.num_steps=16",
    "--config.stem.eval_every_steps=1",  # wherever it stops, an evaluation is due
    "--config.stem.checkpoint_every_steps=1",
    "--config.mesh.shard_optimizer=True",
)


def test_sigterm_to_one_stops_both_at_one_step_and_the_run_goes_on(tmp_path, tiny_data):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for result in _said(command.hosts(whole, tiny_data, *STEM)):
        assert result.status == 0, result.output

    processes = command.hosts(stopped, tiny_data, *STEM)
    processes[0].wait_for(lambda: command.steps(stopped, "stem"))
    processes[1].signal("SIGTERM")
    results = _said(processes)
    assert [result.status for result in results] == [0, 0], results
    step = command.steps(stopped, "stem")[-1]
    assert step < 16
    assert f"SIGTERM: stem: saved step {step}" in results[0].output
    assert "saved step" not in results[1].output  # one speaks for both

    for result in _said(command.hosts(stopped, tiny_data, *STEM)):
        assert result.status == 0, result.output
    command.assert_same_checkpoint(whole, stopped, "stem")
    # There was no time to evaluate the step that was stopped at: both made up for it.
    rows = [command.metric_rows(path, "stem") for path in (whole, stopped)]
    assert rows[0] == rows[1] and all("eval/real_top1" in row for row in rows[1])

    _goes_on_elsewhere(whole, tmp_path / "elsewhere", tiny_data)


def _goes_on_elsewhere(workdir, copy, tiny_data):
    """Image rows over both processes, or one device: the next losses are the same."""
    shutil.copytree(workdir, copy)
    more = ("--stage=stem", "--config.stem.num_steps=18")
    for result in _said(command.hosts(
        workdir, tiny_data, *more, "--config.mesh.data=1", "--config.mesh.spatial=4"
    )):  # fmt: skip
        assert result.status == 0, result.output
    command.finished(copy, tiny_data, *more)
    losses = [
        [row["STEM/loss"] for row in command.metric_rows(path, "stem")]
        for path in (workdir, copy)
    ]
    assert len(losses[0]) == len(losses[1]) == 18
    np.testing.assert_allclose(*losses, rtol=1e-4)
