"""What train and evaluate do with their flags; runs themselves are in processes/."""

import pytest
from support import TESTS, settings, tiny

from mirrorgan_jax import run as runs
from mirrorgan_jax.cli import common, evaluate, train

TINY = f"--config={TESTS / 'support' / 'tiny_config.py'}"


@pytest.fixture
def asked(monkeypatch):
    """[(configuration, workdir, stages)] of what would have run."""
    found = []
    monkeypatch.setattr(common, "join", lambda config, values: None)
    monkeypatch.setattr(runs, "run", lambda *arguments: found.append(arguments))
    return found


@pytest.mark.parametrize(
    ("flags", "workdir", "wanted"),
    [
        ([], "runs/tiny_config", ["stem", "stream", "gan", "heldout", "evaluate"]),
        (["--stage=gan", "--workdir=own"], "own", ["gan"]),
        (
            ["--config.gan.lambda_stream=0"],
            None,
            ["stem", "gan", "heldout", "evaluate"],
        ),
    ],
)
def test_train_does_the_wanted_stages_in_a_folder(asked, flags, workdir, wanted):
    assert train.cli(["train", TINY, *flags]) == 0
    ((_, folder, stages),) = asked
    assert stages == wanted and folder == (workdir or folder)


def test_default_folder_has_the_name_of_the_configuration(asked):
    assert train.cli(["train", "--config=toybirds:reference"]) == 0
    assert asked[0][1] == "runs/toybirds" and asked[0][0].preset == "reference"


def test_evaluation_takes_the_configuration_of_the_checkpoint(asked, uninterrupted):
    workdir = uninterrupted.workdir
    assert evaluate.cli(["evaluate", f"--workdir={workdir}"]) == 0
    ((config, folder, stages),) = asked
    assert (folder, stages) == (str(workdir), ["evaluate"])
    expected = settings.flat(tiny.tiny_config())
    # Where the data were prepared, and hashes of what they held.
    for key in ("root", "contents"):
        assert config.data[key]
        expected[f"data.{key}"] = config.data[key]
    assert settings.flat(config) == expected


def test_evaluation_takes_another_configuration_where_it_is_given(asked, uninterrupted):
    flags = [f"--workdir={uninterrupted.workdir}", TINY, "--config.eval.repeats=3"]
    assert evaluate.cli(["evaluate", *flags]) == 0
    assert asked[0][0].eval.repeats == 3


def test_evaluation_of_an_untrained_run_is_refused(asked, tmp_path, capsys):
    assert evaluate.cli(["evaluate", f"--workdir={tmp_path}"]) == 1
    assert "there is no gan checkpoint" in capsys.readouterr().err and not asked
