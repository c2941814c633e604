"""A run written for others: a model that opens elsewhere, a function that jax runs."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support import random_runs

import mirrorgan_jax
from mirrorgan_jax.cli import export, sample

CAPTION = "this red bird has blue wings"


@pytest.fixture
def run(capsys):
    def command(*flags):
        status = export.cli(["export", *map(str, flags)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def test_a_run_becomes_a_model_with_card_and_measures(uninterrupted, run, tmp_path):
    out = tmp_path / "birds"
    licence = tmp_path / "licence.txt"
    licence.write_text("Do as you like.")
    status, said, err = run(
        f"--workdir={uninterrupted.workdir}", f"--out={out}", "--license=apache-2.0",
        f"--license_file={licence}", "--made=One seed.",
    )  # fmt: skip
    assert status == 0, err
    assert f"written: {out}" in said
    card = (out / "README.md").read_text()
    assert 'license: "apache-2.0"' in card and "- One seed." in card
    # The evaluation's table and protocol, and the machine that it ran on.
    assert "R-precision" in card and "Evaluation at step 6" in card
    assert "Hardware: " in card and "Minutes: " in card
    assert (out / "LICENSE").read_text() == "Do as you like."
    evaluation = uninterrupted.workdir / "report" / "evaluation.json"
    # Where the pictures of the evaluation lie is nobody's business elsewhere.
    measured = json.loads(evaluation.read_text()) | {"samples": ""}
    assert json.loads((out / "metrics.json").read_text()) == measured
    model, opened = (
        mirrorgan_jax.load(uninterrupted.workdir),
        mirrorgan_jax.from_pretrained(out),
    )
    np.testing.assert_array_equal(
        model.generate([CAPTION], seed=1).images[-1],
        opened.generate([CAPTION], seed=1).images[-1],
    )


def test_networks_may_be_left_out(uninterrupted, run, tmp_path):
    out = tmp_path / "birds"
    status, _, err = run(
        f"--workdir={uninterrupted.workdir}", f"--out={out}",
        "--without=captioner,image_encoder",
    )  # fmt: skip
    assert status == 0, err
    assert sorted(p.stem for p in out.glob("*.safetensors")) == [
        "generator",
        "text_encoder",
    ]
    assert "`captioner`" not in (out / "README.md").read_text()


def test_a_model_samples_where_neither_tensorflow_nor_orbax_is(tmp_path):
    workdir = random_runs.write(tmp_path / "run")
    mirrorgan_jax.load(workdir).save_pretrained(tmp_path / "birds")
    absent = "tensorflow", "torch", "orbax", "tensorstore", "optax", "clu"
    code = (
        "import sys; sys.modules.update(dict.fromkeys("
        f"{absent}, None)); from mirrorgan_jax.cli import sample;"
        f"sys.exit(sample.cli(['sample', {CAPTION!r}, '--model=birds', '--n=2']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    images = sorted((tmp_path / "samples").glob("*-00?.png"))
    assert len(images) == 2 and "sheet samples/" in done.stdout
    with Image.open(images[1]) as image:
        assert image.text["caption"] == CAPTION and image.text["model"] == "birds"


def test_words_of_a_model_are_listed(tmp_path, capsys):
    mirrorgan_jax.load(random_runs.write(tmp_path / "run")).save_pretrained(
        tmp_path / "birds"
    )
    assert sample.cli(["sample", f"--model={tmp_path / 'birds'}", "--words"]) == 0
    assert capsys.readouterr().out.split() == sorted(random_runs.WORDS[1:])


def test_a_served_function_has_its_words_and_an_example(run, tmp_path):
    workdir = random_runs.write(tmp_path / "run")
    out = tmp_path / "served"
    status, said, err = run(
        f"--workdir={workdir}", f"--out={out}", "--format=stablehlo"
    )
    assert status == 0, err
    assert sorted(p.name for p in out.iterdir()) == [
        "draw.stablehlo", "example.py", "words.json",
    ]  # fmt: skip
    words = json.loads((out / "words.json").read_text())["words"]
    assert words == list(random_runs.WORDS) and said.count("written: ") == 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out=a"], "--workdir is missing"),
        (["--workdir=none", "--out=a"], "workdir none does not exist"),
        (["--workdir=none"], "--out is missing"),
        (["--model=none", "--out=a"], "no model 'none'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, flags, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*flags)
    assert status == 1 and said in err and err.count("\n") == 1
