"""The command and its verbs: help, names, errors in a sentence."""

import importlib.util

import pytest
from support import CONFIGS, ROOT

from mirrorgan_jax.cli import common, train, verbs


def test_every_verb_is_a_file_and_every_file_a_verb():
    folder = ROOT / "mirrorgan_jax" / "cli"
    files = {path.stem for path in folder.glob("*.py")}
    named = {verb.replace("-", "_") for verb in verbs.VERBS}
    assert files - {"__init__", "common", "verbs"} == named


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_verb_all_are_listed_with_a_line_each(argv, capsys):
    assert verbs.cli(["mirrorgan", *argv]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    for verb, says in verbs.VERBS.items():
        assert f"  {verb:10} {says}" in lines


@pytest.mark.parametrize("verb", verbs.VERBS)
def test_help_fits_a_screen_and_begins_with_examples(verb, capsys):
    assert verbs.cli(["mirrorgan", verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 88
    examples = [i for i, line in enumerate(lines) if f"  mirrorgan {verb} " in line]
    assert examples and examples[0] < 5
    assert "flags:" in lines or verb == "convert"


@pytest.mark.parametrize(
    ("verb", "said"),
    [("sampel", "is it sample?"), ("figure", "is it figures?"), ("x", "train, sample")],
)
def test_unknown_verb_is_a_sentence_with_the_nearest(verb, said, capsys):
    assert verbs.cli(["mirrorgan", verb]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and repr(verb) in error and said in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train", "error: --config is missing: try --config=toybirds"),
        ("train --config=birds", "no file 'birds'"),
        ("train --config birds", "no file 'birds'"),
        ("train --config=toybirds:papr", "preset = 'papr'"),
        ("train --config=toybirds --config.gan.qqq=3", "no key 'gan.qqq'\n"),
        (
            "train --config=toybirds --config.gan.wrong_pair=3",
            "no key 'gan.wrong_pair': did you mean 'wrong_pairs'?",
        ),
        ("train --config=toybirds --config.gann.ngf=3", "'gann': did you mean 'gan'?"),
        (
            "train --config=toybirds --config.eval.inception=a.safetensors",
            "no key 'eval.inception': the file of each feature network has a key",
        ),
        (
            "train --config=toybirds --config.gan.ngf=x",
            "flag --config.gan.ngf: 'x' is no whole number",
        ),
        (
            "train --config=toybirds --config.gan.wrong_pairs=x",
            "flag --config.gan.wrong_pairs: 'x' is neither True nor False",
        ),
        (
            "train --config=toybirds --config.gan.kl_weight=x",
            "flag --config.gan.kl_weight: 'x' is no number",
        ),
        ("train --config=toybirds --stage=held", "--stage=held"),
        ("train --config=toybirds more", "'more' is no flag"),
        ("train --config=toybirds --stages=gan", "'stages'"),
        (
            "train --config=toybirds --compile_only --stage=evaluate",
            "--stage=evaluate has no training step",
        ),
        ("train --config=toybirds --topology=v5e:4x4", "needs --compile_only"),
        ("compile", "--config is missing"),
        ("compile --config=toybirds --stage=evaluate", "--stage=evaluate"),
        ("sample", "no caption"),
        ("evaluate", "--workdir is missing"),
        ("evaluate --workdir=none", "workdir none does not exist"),
        ("report", "--workdir is missing"),
        ("report --workdir=none", "workdir none does not exist"),
        ("convert one", "allowed are 2, IN OUT.safetensors, or --workdir=RUN"),
        ("convert --workdir=a", "--workdir goes with --out=DIR"),
        ("convert --workdir=none --out=a", "workdir none does not exist"),
        ("convert a.pth b.safetensors", "a.pth does not exist"),
        ("convert a b.npz", "b.npz: the file must end in .safetensors"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    words, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert verbs.cli(["mirrorgan", *words.split()]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error") and said in error and error.count("\n") == 1


def test_missing_packages_are_named_with_the_extra(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "tensorflow" else find(n)
    )
    assert verbs.cli(["mirrorgan", "train", "--config=toybirds"]) == 1
    error = capsys.readouterr().err
    assert "tensorflow is not installed" in error and "\n" == error[-1]
    assert 'pip install "mirrorgan_jax[data]"' in error and error.count("\n") == 1


def test_other_missing_modules_are_no_users_fault():
    def main(values):
        raise ModuleNotFoundError("No module named 'own'", name="own")

    with pytest.raises(ModuleNotFoundError):
        common.run(main, "", lambda values: None, ["own"])


@pytest.mark.parametrize("flag", ["--config=cub", "--config={}", "-config={}"])
def test_flags_change_the_configuration(flag):
    found = []
    argv = ["train", flag.format(CONFIGS / "cub.py"), "--config.gan.ngf=8"]
    options = {"argv": [*argv, "--config.stem.cell", "gru"], "configured": True}
    assert common.run(found.append, "", train.define, **options) == 0
    (values,) = found
    assert (values.config.gan.ngf, values.config.stem.cell) == (8, "gru")
    assert common.config_name(values) == "cub" and values.config.is_locked
