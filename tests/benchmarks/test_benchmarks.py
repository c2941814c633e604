"""Every benchmark runs on the tiny configuration; nothing is timed or computed."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import ROOT, tiny

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import aot, stages
from mirrorgan_jax.training import state as states

pytestmark = pytest.mark.full

FOLDER = ROOT / "benchmarks"
TESTED = {"train_step", "compile_table", "input_pipeline"}


def benchmark(name):
    """A file of benchmarks/ as a module; its flags are those of a command alone."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_tested_and_described():
    assert {path.stem for path in FOLDER.glob("*.py")} == TESTED
    notes = (FOLDER / "NOTES.md").read_text()
    assert all(f"## {name}.py" in notes for name in TESTED)


@pytest.mark.parametrize("stage", ["stem", "stream", "gan"])
def test_random_batch_is_what_a_stage_expects(stage):
    config = tiny.tiny_config()
    batch = stages.random_batch(config, stage, tiny.VOCAB)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
    assert shapes == stages.abstract_batch(config, stage)
    words = np.arange(config.text.num_words) < batch["length"][:, None]
    np.testing.assert_array_equal(batch["tokens"] > 0, words)
    assert batch["tokens"].max() < tiny.VOCAB


def test_train_step_prints_its_figures(monkeypatch, capsys):
    def compile_by_shape(train_step, *arrays):
        *arguments, used = arrays
        assert used.size == 1
        state, metrics = jax.eval_shape(train_step, *arguments)
        assert jax.tree.structure(state) == jax.tree.structure(arguments[0])
        zeros = {name: jnp.zeros(leaf.shape) for name, leaf in metrics.items()}
        return lambda state, *unused: (state, zeros)

    monkeypatch.setattr(states, "compile_step", compile_by_shape)
    config = tiny.tiny_config(**{"mesh.data": 1})
    benchmark("train_step").measure(config, steps=2, vocab_size=tiny.VOCAB)
    said = capsys.readouterr().out
    assert "step: median" in said and "batch 4, 1 x cpu" in said and "G/loss 0" in said


@pytest.mark.parametrize("only_damsm", [False, True])
def test_compile_table_prints_a_row(monkeypatch, capsys, only_damsm):
    asked = []

    def create_mesh(config, stage, topology):
        asked.append((config.mesh.data, config.mesh.spatial, stage, topology))
        return meshes.create_mesh(devices=jax.devices()[:1])

    def compile_stage(config, stage, mesh):
        shapes = stages.abstract_batch(config, stage)
        return jax.jit(lambda batch: batch["image"] * 2.0).lower(shapes).compile()

    monkeypatch.setattr(aot, "create_mesh", create_mesh)
    monkeypatch.setattr(aot, "compile_stage", compile_stage)
    benchmark("compile_table").table(
        ["2x4:8", "1x1:2"], tiny.tiny_config(), topology="v5e", only_damsm=only_damsm
    )
    assert asked == [(2, 4, "gan", "v5e:2x4"), (1, 1, "gan", "v5e:1x1")]
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[:2] for row in rows] == [["| 2x4", "8"], ["| 1x1", "2"]]
    assert {row.count("|") for row in (head, *rows)} == {8}
    assert all("| none | none |" in row for row in rows)


def test_input_pipeline_prints_its_figures(capsys):
    benchmark("input_pipeline").measure(
        pictures=8, rounds=2, width=50, height=40, image_size=16, batch_size=3
    )
    *rounds, head, kept, decoded = capsys.readouterr().out.splitlines()[-7:]
    assert [line.split(":")[0] for line in rounds] == ["kept", "decoded"] * 2
    assert all("/s; MiB held over the epoch: " in line for line in rounds)
    assert head.startswith("8 JPEGs of 50x40, cropped to 16, batches of 3; plain ")
    assert kept.startswith("kept: ") and decoded.startswith("decoded: ")
    assert kept.endswith("% of it") and decoded.endswith("% of it")
