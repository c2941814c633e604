"""What runs, checkpoints and models hold, said without loading their arrays."""

import numpy as np
import pytest
from orbax import checkpoint as ocp
from safetensors import numpy as safetensors
from support import random_runs

import mirrorgan_jax
from mirrorgan_jax.cli import inspect
from mirrorgan_jax.models import build


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return random_runs.write(tmp_path_factory.mktemp("inspect") / "run")


@pytest.fixture(scope="module")
def model(run):
    folder = run.parent / "birds"
    mirrorgan_jax.load(run).save_pretrained(folder)
    return folder


@pytest.fixture
def say(capsys, monkeypatch):
    def refuse(*unused, **options):
        raise AssertionError("arrays were loaded")

    def command(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(ocp.PyTreeCheckpointHandler, "restore", refuse)
            patch.setattr(safetensors, "load", refuse)
            status = inspect.cli(["inspect", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def _sizes(model):
    return {
        name: sum(np.size(leaf) for leaf in _leaves(tree))
        for name, tree in model.networks.items()
    }


def _leaves(tree):
    if not isinstance(tree, dict):
        return [tree]
    return [leaf for value in tree.values() for leaf in _leaves(value)]


def test_a_run_has_its_stages_networks_and_settings(say, run):
    status, out, err = say(run)
    assert status == 0, err
    assert f"{run}: a run\n  stem    steps 6\n" in out
    assert f"{run}/gan/checkpoints/6:" in out
    numbers = _sizes(mirrorgan_jax.load(run))["generator"]
    (ema,) = [line for line in out.splitlines() if line.startswith("  ema: ")]
    assert f"{numbers:,} numbers" in ema
    for network in ("generator: ", "discriminators/D16: ", "discriminators/D32: "):
        assert f"    {network}" in out
    assert f"step 6, {len(random_runs.WORDS)} words" in out
    assert "gan.batch_size = " in out and "preset paper" in out


def test_a_checkpoint_lists_its_arrays(say, run):
    status, out, err = say(run / "stem" / "checkpoints" / "6", "--arrays")
    assert status == 0, err
    assert "a checkpoint" in out
    config = mirrorgan_jax.load(run).config
    shape = [len(random_runs.WORDS), build.text_encoder(config, 1).embed_dim]
    (line,) = [
        line
        for line in out.splitlines()
        if line.split()[:1] == ["text/params/embedding/embedding"]
    ]
    assert f"float32 {shape} {4 * shape[0] * shape[1]:,} bytes" in line


def test_a_model_has_the_networks_of_its_run(say, run, model):
    status, out, err = say(model)
    assert status == 0, err
    for name, size in _sizes(mirrorgan_jax.from_pretrained(model)).items():
        assert f"  {name}: " in out and f"{size:,} numbers" in out


def test_difference_names_keys_and_shapes(say, run, model, tmp_path):
    assert say(run, f"--diff={run}")[1] == "no difference\n"
    words = (*random_runs.WORDS, "grey")
    other = random_runs.write(tmp_path / "other", words, **{"gan.ngf": 8})
    status, out, err = say(run, f"--diff={other}")
    assert status == 0, err
    assert f"{run}, and there {other}:" in out
    assert "  gan.ngf: 4, there 8\n" in out
    assert f"  words: {len(words) - 1}, there {len(words)}\n" in out
    assert "ema: params/image_0/conv/kernel: 'float32 [3, 3, 4, 3]'" in out


def test_what_is_wrong_is_said_in_a_sentence(say, tmp_path):
    (tmp_path / "7" / "config").mkdir(parents=True)
    for path, message in (
        (tmp_path / "none", "no model"),
        (tmp_path, "has no config.json"),
    ):
        status, _, err = say(path)
        assert status == 1 and message in err and err.count("\n") == 1
