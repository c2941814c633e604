"""Sweeps over the rows of a table: what runs, what is shared, how one goes on."""

import json
import types
from pathlib import Path

import pytest
from ml_collections import config_dict
from support import evaluations, tiny_config

from mirrorgan_jax import run as runs
from mirrorgan_jax.cli import reproduce
from mirrorgan_jax.metrics import result
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import loop
from mirrorgan_jax.workdir import layout


@pytest.fixture
def config():
    """Configuration of the tables; a row is whole at step 30."""
    c = tiny_config.get_config()
    c.gan.num_steps = 30
    return config_dict.ConfigDict(c).lock()


class _Runs:
    """Stands for `runs.run`: keeps what is asked for and leaves what a run leaves."""

    def __init__(self, monkeypatch):
        self.calls, self.errors, self.configs = [], {}, {}
        self._steps = {}
        monkeypatch.setattr(runs, "run", self)
        monkeypatch.setattr(layout, "finished_steps", self._finished)
        monkeypatch.setattr(layout, "read_settings", self._settings)

    def _finished(self, folder, stage):
        return self._steps.get((str(folder), stage), 0)

    def forget(self, folder):
        """The folder's checkpoints are gone."""
        self._steps = {k: v for k, v in self._steps.items() if k[0] != str(folder)}

    def _settings(self, folder, stage="gan"):
        return self.configs[str(folder)], []

    def __call__(self, config, workdir, wanted):
        name = "/".join(Path(workdir).parts[-2:])
        self.calls.append(name)
        self.configs[workdir] = config
        if name in self.errors:
            raise self.errors[name]
        for stage in wanted:
            if stage == "evaluate":
                path = Path(workdir) / "report" / "evaluation.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                step = config.gan.num_steps
                path.write_text(result.dumps(evaluations.evaluation(step=step)))
            elif stage in configs.STAGES:
                self._steps[workdir, stage] = config[stage].num_steps


@pytest.fixture
def fake(monkeypatch):
    return _Runs(monkeypatch)


def _row(path, title):
    line = next(x for x in path.read_text().splitlines() if x.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def _tables(workdir):
    return sorted(path.name for path in workdir.glob("table*"))


TABLE_3 = (
    "no_global_lambda_0", "no_global_lambda_20", "lambda_5", "lambda_10", "mirrorgan",
)  # fmt: skip


def test_sweep_pretrains_once_a_seed_and_runs_every_row(tmp_path, config, fake):
    path = reproduce.sweep(config, tmp_path, 3, seeds=(0, 2))
    assert fake.calls == [
        f"seed{seed}/{run}" for seed in (0, 2) for run in ("pretrained", *TABLE_3)
    ]
    assert _tables(tmp_path) == ["table3.csv", "table3.md"]
    assert _row(path, "MirrorGAN, lambda 20")[-1] == "2"
    row = fake.configs[str(tmp_path / "seed2" / "lambda_5")]
    assert (row.seed, row.gan.lambda_stream) == (2, 5.0)
    assert row.weights.pretrained == str(tmp_path / "seed2" / "pretrained")
    own = fake.configs[str(tmp_path / "seed2" / "pretrained")]
    assert (own.seed, own.weights.pretrained) == (2, "")
    # What was given is still as it was.
    assert (config.seed, config.weights.pretrained) == (0, "")


def test_rows_have_stages_of_their_own_alone(tmp_path, config):
    row = reproduce.row_config(config, tmp_path, 0, "lambda_5")
    assert runs.needed_stages(row) == ["gan", "heldout", "evaluate"]
    configs.validate(row)


def test_tables_share_runs(tmp_path, config, fake):
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_20",))
    assert fake.calls == ["seed0/pretrained", "seed0/mirrorgan"]
    fake.calls.clear()
    path = reproduce.sweep(config, tmp_path, 2)
    assert fake.calls == ["seed0/attngan", "seed0/two_stages", "seed0/one_stage"]
    assert _row(path, "MirrorGAN ")[-1] == "1"
    fake.calls.clear()
    reproduce.sweep(config, tmp_path, 1)
    assert fake.calls == ["seed0/stackgan_pp"]


def test_interrupted_sweep_leaves_a_table_and_goes_on(tmp_path, config, fake):
    fake.errors["seed0/lambda_5"] = hosts.Terminated("gan: saved step 12")
    with pytest.raises(hosts.Terminated):
        reproduce.sweep(config, tmp_path, 3)
    path = tmp_path / "table3.md"
    assert _row(path, "MirrorGAN w/o GA, lambda 20")[-1] == "1"
    assert _row(path, "MirrorGAN, lambda 5")[-1] == "none"
    fake.calls.clear()
    fake.errors.clear()
    reproduce.sweep(config, tmp_path, 3)
    assert fake.calls == ["seed0/lambda_5", "seed0/lambda_10", "seed0/mirrorgan"]
    fake.calls.clear()
    # Finished rows need no pretraining.
    fake.forget(tmp_path / "seed0" / "pretrained")
    reproduce.sweep(config, tmp_path, 3)
    assert fake.calls == []


def test_diverged_row_is_noted_and_tried_again(tmp_path, config, fake):
    fake.errors["seed0/lambda_5"] = loop.Diverged(
        "gan", 17, "network G has G/loss = nan"
    )
    path = reproduce.sweep(config, tmp_path, 3)
    row = _row(path, "MirrorGAN, lambda 5")
    assert row[-1] == "0; seed 0 gan diverged at step 17"
    assert row[3] == "not measured"
    assert _row(path, "MirrorGAN, lambda 20")[-1] == "1"
    path.unlink()
    reproduce.sweep(config, tmp_path, 3, only_collect=True)
    assert "diverged at step 17" in _row(path, "MirrorGAN, lambda 5")[-1]
    fake.errors.clear()
    reproduce.sweep(config, tmp_path, 3)
    assert _row(path, "MirrorGAN, lambda 5")[-1] == "1"
    assert not list(tmp_path.rglob("diverged.json"))


def test_diverged_pretraining_leaves_out_its_seed(tmp_path, config, fake):
    fake.errors["seed0/pretrained"] = loop.Diverged("stem", 3, "nan")
    path = reproduce.sweep(config, tmp_path, 3, seeds=(0, 1), rows=("lambda_5",))
    assert fake.calls == ["seed0/pretrained", "seed1/pretrained", "seed1/lambda_5"]
    expected = "1; seed 0 stem diverged at step 3"
    assert _row(path, "MirrorGAN, lambda 5")[-1] == expected


def test_other_failure_names_the_run(tmp_path, config, fake):
    fake.errors["seed0/lambda_10"] = ValueError("the gate is closed")
    with pytest.raises(ValueError, match="lambda 10, seed 0: the gate is closed"):
        reproduce.sweep(config, tmp_path, 3)
    assert _row(tmp_path / "table3.md", "MirrorGAN, lambda 5")[-1] == "1"


@pytest.mark.parametrize("only_collect", [False, True])
def test_rows_of_other_settings_are_refused_by_name(
    tmp_path, config, fake, only_collect
):
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    with config.unlocked():
        config.gan.ngf = 6
    with pytest.raises(ValueError, match="lambda 5, seed 0: .*gan.ngf = 6, was 4"):
        reproduce.sweep(config, tmp_path, 3, only_collect=only_collect)


def test_evaluation_of_an_earlier_step_does_not_count(tmp_path, config, fake):
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    config.gan.num_steps = 60
    path = reproduce.sweep(config, tmp_path, 3, only_collect=True)
    row = _row(path, "MirrorGAN, lambda 5")
    assert row[-1] == "0; seed 0 at step 30 of 60"
    assert row[3] == "not measured"
    fake.calls.clear()
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    assert fake.calls == ["seed0/lambda_5"]
    assert _row(path, "MirrorGAN, lambda 5")[-1] == "1"


def test_evaluation_of_an_earlier_version_is_made_again(tmp_path, config, fake):
    path = reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    file = tmp_path / "seed0" / "lambda_5" / "report" / "evaluation.json"
    old = {"step": 30, "protocol": "few", "metrics": {"fid": {"title": "FID"}}}
    file.write_text(json.dumps(old))
    reproduce.sweep(config, tmp_path, 3, only_collect=True)
    row = _row(path, "MirrorGAN, lambda 5")
    assert row[-1] == "0; seed 0 evaluated by an earlier version"
    fake.calls.clear()
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    assert fake.calls == ["seed0/lambda_5"]
    assert _row(path, "MirrorGAN, lambda 5")[-1] == "1"


def test_best_checkpoint_may_be_of_an_earlier_step(tmp_path, config, fake, monkeypatch):
    best = types.SimpleNamespace(best_step=lambda: 20, close=lambda: None)
    monkeypatch.setattr(layout, "opened", lambda folder, stage: best)
    config.weights.checkpoint = "best"
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    file = tmp_path / "seed0" / "lambda_5" / "report" / "evaluation.json"
    file.write_text(result.dumps(evaluations.evaluation(step=20)))
    path = reproduce.sweep(config, tmp_path, 3, only_collect=True)
    assert _row(path, "MirrorGAN, lambda 5")[-1] == "1"
    # Another step is the best since: the evaluation speaks of an older one.
    best.best_step = lambda: 30
    path = reproduce.sweep(config, tmp_path, 3, only_collect=True)
    assert _row(path, "MirrorGAN, lambda 5")[3] == "not measured"


def test_row_beyond_the_wanted_steps_is_refused_by_name(tmp_path, config, fake):
    config.gan.num_steps = 60
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    config.gan.num_steps = 30
    with pytest.raises(ValueError, match="lambda 5, seed 0: .*at step 60, beyond"):
        reproduce.sweep(config, tmp_path, 3)


def test_collecting_runs_nothing_and_takes_all_seeds(tmp_path, config, fake):
    path = reproduce.sweep(config, tmp_path, 1, only_collect=True)
    assert _row(path, "AttnGAN")[-1] == "none"
    reproduce.sweep(config, tmp_path, 1, seeds=(3,), rows=("attngan",))
    reproduce.sweep(config, tmp_path, 1, seeds=(5,), rows=("attngan",))
    assert _row(path, "AttnGAN")[-1] == "2"
    assert len(fake.calls) == 4


def test_given_pretraining_is_taken(tmp_path, config, fake):
    config.weights.pretrained = "elsewhere"
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    assert fake.calls == ["seed0/lambda_5"]
    row = fake.configs[str(tmp_path / "seed0" / "lambda_5")]
    assert row.weights.pretrained == "elsewhere"


def test_other_processes_write_nothing(tmp_path, config, fake, monkeypatch):
    monkeypatch.setattr(hosts, "is_first", lambda: False)
    fake.errors["seed0/lambda_5"] = loop.Diverged("gan", 17, "nan")
    reproduce.sweep(config, tmp_path, 3, rows=("lambda_5",))
    assert fake.calls and not list(tmp_path.rglob("*"))


def test_broken_evaluation_is_named(tmp_path, config):
    file = tmp_path / "seed0" / "attngan" / "report" / "evaluation.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(ValueError, match=f"{file} is no JSON"):
        reproduce.sweep(config, tmp_path, 1)


@pytest.mark.parametrize(("number", "row"), [(3, "attngan"), (1, "dfgan"), (2, "")])
def test_row_that_the_table_has_not_is_refused(number, row):
    with pytest.raises(ValueError, match=f"--rows={row}: allowed for table {number}"):
        reproduce.chosen_runs(number, [row])


@pytest.mark.parametrize("texts", [[], ["a"], ["0", "-1"], ["1.5"], [""]])
def test_seeds_are_whole_numbers(texts):
    with pytest.raises(ValueError, match="--seeds=.*whole numbers"):
        reproduce.parse_seeds(texts)
    assert reproduce.parse_seeds(["2", "0", "2"]) == [2, 0]
