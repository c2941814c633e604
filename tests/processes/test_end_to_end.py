"""The real command: every stage, going on after kills, and errors that help."""

import itertools
import json
import random
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from support import command, tiny

from mirrorgan_jax import run as runs
from mirrorgan_jax.evaluation import quick
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.weights import backbones
from mirrorgan_jax.workdir import checkpoints, layout

STAGES = ("stem", "stream", "gan")


def contents(workdir):
    """{path: modification time} of all files of a run."""
    return {
        str(path.relative_to(workdir)): path.stat().st_mtime_ns
        for path in workdir.rglob("*")
        if path.is_file()
    }


def test_every_stage_leaves_its_checkpoints_and_metrics(uninterrupted):
    config = tiny.tiny_config()
    for stage in STAGES:
        last = config[stage].num_steps
        assert command.steps(uninterrupted.workdir, stage)[-2:] == [last - 2, last]
        rows = command.metric_rows(uninterrupted.workdir, stage)
        assert [row["step"] for row in rows] == [*range(1, last + 1)]
        assert all(np.isfinite(v) for r in rows for k, v in r.items() if k != "stage")
        metric, _ = layout.METRICS[stage]
        assert [row["step"] for row in rows if f"eval/{metric}" in row] == [2, 4, 6]
        assert list((uninterrupted.workdir / "events" / stage).iterdir())
        assert f"{stage}: done" in uninterrupted.output
    assert not command.unfinished_saves(uninterrupted.workdir)


def test_samples_show_every_stage_at_the_cadence_and_at_the_end(uninterrupted):
    samples = sorted((uninterrupted.workdir / "samples").iterdir())
    assert [path.name for path in samples] == [
        "0000003.png", "0000006.png", "final.png",
    ]  # fmt: skip
    for path in samples:
        pixels = np.asarray(Image.open(path))
        assert pixels.std() > 10  # not blank
    # Of the same network: while it trains of validation images, at the end of test
    # images.
    last, final = [np.asarray(Image.open(path)) for path in samples[1:]]
    assert last.shape != final.shape or (last != final).any()


def evaluation(workdir):
    return json.loads((workdir / "report" / "evaluation.json").read_text())


def rows(entry):
    """{"images, judge": values} of a result's rows."""
    return {
        ", ".join(filter(None, (row["images"], row["judge"]))): row["values"]
        for row in entry["rows"]
    }


def test_evaluation_holds_every_measure(uninterrupted):
    report = evaluation(uninterrupted.workdir)
    assert report["step"] == 6
    assert report["protocol"]["test images"] == 8
    choice = "30 validation images of 15 classes held out of training"
    assert report["protocol"]["chosen on"] == choice
    assert report["protocol"]["checkpoint"] == "latest"
    page = (uninterrupted.workdir / "report" / "index.html").read_text()
    for said in (uninterrupted.output, page):
        assert f"checkpoint: latest; chosen on: {choice}" in said
    found = {name: rows(entry) for name, entry in report["metrics"].items()
             if "rows" in entry}  # fmt: skip
    sources = {"generated", "real", "generated from other captions"}
    for name in ("r_precision", "r_precision_classes"):
        assert found[name].keys() == sources
        for values in found[name].values():
            assert 0 <= values["top1"] <= values["top2"] <= values["top3"] <= 100
    for values in found["attributes"].values():
        assert values.keys() == {"body", "wing", "belly", "crown"}
        # Of eight captions all may speak of a part, or none.
        assert all(value is None or 0 <= value <= 100 for value in values.values())
    places = found["attribute_places"]
    assert places.keys() == sources | {
        f"generated, {part}" for part in ("body", "wing", "belly", "crown")
    }
    for source in sources:
        assert sum(places[source].values()) == pytest.approx(100)
    mirror, words = found["mirror"], found["attribute_words"]
    judges = ("STREAM", "held-out captioner")
    assert mirror.keys() == words.keys() == {
        f"{source}, {judge}" for source in sources for judge in judges
    }  # fmt: skip
    for values in words.values():
        assert 0 <= values["words"] <= 100
    for values in mirror.values():
        said = values["survived"] + values["contradicted"] + values["unsaid"]
        assert said == pytest.approx(100)


def test_measures_that_cannot_hold_say_why(uninterrupted):
    found = evaluation(uninterrupted.workdir)["metrics"]
    for name, reason in (
        ("inception_score", "8 images in 10 splits are 0 each"),
        ("fid", "8 images for "),
        ("kid", "allowed are 2 to 8"),
    ):
        assert reason in found[name]["refused"]
        assert f"not measured: {found[name]['refused']}" in uninterrupted.output


def test_enough_images_give_every_number(uninterrupted, tiny_data, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(uninterrupted.workdir, workdir)
    command.finished(
        workdir, tiny_data, "--stage=evaluate", "--config.eval.num_images=20",
        "--config.eval.repeats=2", "--config.eval.splits=2",
        "--config.eval.kid_subset_size=15", "--config.eval.samples=0",
    )  # fmt: skip
    found = evaluation(workdir)["metrics"]
    # More features than that answer to real images.
    assert "20 images for" in found["fid"]["refused"]
    scores = rows(found["inception_score"])
    assert 1 <= scores["generated"]["mean"] <= 9 and scores["real"]["mean"] >= 1
    assert all(row["deviation"] >= 0 for row in found["inception_score"]["rows"])
    assert rows(found["kid"])["generated"]["mean"] > 0
    for name in ("r_precision", "inception_score", "attributes", "mirror"):
        assert found[name]["protocol"]["generated"] == 40, name
    weights = found["kid"]["protocol"]["weights"]
    assert re.fullmatch("[0-9a-f]{12}", weights)
    assert weights == found["inception_score"]["protocol"]["weights"]


def test_report_opens_from_disk(uninterrupted):
    page = (uninterrupted.workdir / "report" / "index.html").read_text()
    assert "R-precision" in page and "<svg" in page and "data:image/" in page
    run = json.loads((uninterrupted.workdir / "report" / "run.json").read_text())
    assert run["stages"].keys() == set(STAGES)
    assert run["stages"]["gan"]["seconds"] > 0
    assert f"report: {uninterrupted.workdir / 'report' / 'index.html'}" in (
        uninterrupted.output
    )


def test_checkpoints_hold_configuration_and_vocabulary(uninterrupted):
    folder = uninterrupted.workdir / "gan" / "checkpoints" / "6"
    saved = json.loads((folder / "config" / "metadata").read_text())
    assert saved["gan"] == tiny.tiny_config().gan.to_dict()
    vocab = json.loads((folder / "vocab" / "metadata").read_text())
    table = command.saved(uninterrupted.workdir, "stem")
    (embedding,) = [
        value
        for key, value in table.items()
        if key.startswith("state/text/params") and "embedding" in key
    ]
    assert len(vocab) == len(embedding)


def test_stream_starts_from_stems_trunk(uninterrupted):
    # After six updates of 0.001 each it cannot be far from there.
    stem, stream = (command.saved(uninterrupted.workdir, s) for s in STAGES[:2])
    old, new = "state/image/params/trunk/", "state/captioner/params/encoder/trunk/"
    kernels = [key for key in stem if key.startswith(old) and key.endswith("kernel")]
    assert kernels
    for key in kernels:
        moved = np.abs(stream[key.replace(old, new)] - stem[key]).max()
        assert 0 < moved < 0.01


@pytest.fixture(scope="session")
def again(uninterrupted, tiny_data, tmp_path_factory):
    """The same command once more on a copy of the finished run."""
    workdir = tmp_path_factory.mktemp("again") / "run"
    shutil.copytree(uninterrupted.workdir, workdir)
    before = contents(workdir)
    return before, command.finished(workdir, tiny_data)


def test_second_run_trains_nothing_and_says_so(uninterrupted, again):
    before, result = again
    for stage in STAGES:
        assert f"{stage}: nothing to do, all 6 steps are done" in result.output
        assert f"{stage} step" not in result.output
    after = contents(result.workdir)
    changed = {path for path in after if before.get(path) != after[path]}
    assert {path.partition("/")[0] for path in changed} <= {"report", "samples"}


def test_second_evaluation_gives_the_same_numbers(uninterrupted, again):
    _, result = again
    reports = [evaluation(run.workdir) for run in (uninterrupted, result)]
    for report in reports:
        del report["samples"]
    assert reports[0] == reports[1]


def test_two_processes_evaluate_as_one_and_draw_the_same(
    uninterrupted, tiny_data, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(uninterrupted.workdir, workdir)
    shutil.rmtree(workdir / "report")
    (workdir / "samples" / "final.png").unlink()
    processes = command.hosts(workdir, tiny_data, "--stage=evaluate")
    results = [process.join() for process in processes]
    assert [result.status for result in results] == [0, 0], results

    one, two = (evaluation(run)["metrics"] for run in (uninterrupted.workdir, workdir))
    assert one.keys() == two.keys()
    for name, entry in one.items():
        assert entry.get("refused") == two[name].get("refused")
        if "rows" in entry:
            expected, found = rows(entry), rows(two[name])
            assert expected.keys() == found.keys()
            for row, values in expected.items():
                assert values.keys() == found[row].keys()
                for key, value in values.items():
                    wanted = value if value is None else pytest.approx(value, rel=1e-3)
                    assert found[row][key] == wanted, (name, row, key)

    def pictures(run):
        paths = [*run.glob("report/**/*.png"), run / "samples" / "final.png"]
        return {
            str(path.relative_to(run)): np.asarray(Image.open(path), np.int32)
            for path in paths
        }

    expected, found = pictures(uninterrupted.workdir), pictures(workdir)
    assert len(expected) > 2 and expected.keys() == found.keys()
    for name, pixels in expected.items():
        # Sums in another order round a few pixels to their neighbour.
        assert np.abs(pixels - found[name]).max() <= 2, name


def kill(workdir, data, rng, how, seconds):
    """Starts the command and kills it.

    Args:
      workdir: of the run.
      data: folder of prepared data.
      rng: random.Random.
      how: "saving", in the middle of one of the saves; or "any", at a random
        moment of the first `seconds`.
      seconds: see `how`.

    Returns:
      When it died, or None when it was over before.
    """
    old = set(command.unfinished_saves(workdir))
    process = command.Process(workdir, data)
    if how == "saving":
        seen, wanted = set(), rng.randint(1, 4)

        def reached():
            now = set(command.unfinished_saves(workdir)) - old
            seen.update(now)
            return now and len(seen) >= wanted

        when = f"save {wanted}"
    else:
        process.wait_for_data()
        begin, wait = time.monotonic(), rng.uniform(0, seconds)
        when = f"second {wait:.1f}"

        def reached():
            return time.monotonic() - begin >= wait

    process.wait_for(reached)
    process.signal("SIGKILL")
    return when if process.join().status == -9 else None


def kill_and_finish(uninterrupted, data, workdir, kills):
    """Kills runs until `kills` of them died, then lets one finish; compares.

    Returns:
      how many died.
    """

    def compare():
        command.finished(workdir, data)
        for stage in STAGES:
            command.assert_same_checkpoint(uninterrupted.workdir, workdir, stage)
            rows = [
                command.metric_rows(folder, stage)
                for folder in (uninterrupted.workdir, workdir)
            ]
            assert rows[0] == rows[1]

    seed = time.time_ns()
    rng, seconds, died = random.Random(seed), uninterrupted.seconds / 4, []
    ways = itertools.cycle(rng.sample(["saving", "any"], 2))
    while len(died) < kills:
        if command.steps(workdir, "gan")[-1:] == [6]:
            compare()
            shutil.rmtree(workdir)
        when = kill(workdir, data, rng, next(ways), seconds)
        if when is None:
            seconds /= 2  # the machine is faster than it was
        else:
            died.append(f"{when}, at {[command.steps(workdir, s) for s in STAGES]}")
    print(f"seed {seed}, died in: {'; '.join(died)}")
    compare()
    return len(died)


def test_killed_twice_equals_uninterrupted(uninterrupted, tiny_data, tmp_path):
    assert kill_and_finish(uninterrupted, tiny_data, tmp_path / "run", kills=2) == 2


@pytest.mark.slow
def test_killed_five_times_equals_uninterrupted(uninterrupted, tiny_data, tmp_path):
    assert kill_and_finish(uninterrupted, tiny_data, tmp_path / "run", kills=5) == 5


def test_sigterm_saves_and_exits_well_and_the_command_goes_on(tiny_data, tmp_path):
    flags = (
        "--stage=stem", "--config.stem.num_steps=500",
        "--config.stem.checkpoint_every_steps=100",
        "--config.stem.eval_every_steps=100",
    )  # fmt: skip
    workdir = tmp_path / "run"
    process = command.Process(workdir, tiny_data, *flags)
    process.wait_for(lambda: command.steps(workdir, "stem"))
    process.signal("SIGTERM")
    stopped = process.join()
    assert stopped.status == 0, stopped.output
    assert "SIGTERM: stem: saved step" in stopped.output
    assert "the same command goes on" in stopped.output
    step = command.steps(workdir, "stem")[-1]
    assert f"saved step {step};" in stopped.output
    assert 100 <= step < 500
    command.finished(workdir, tiny_data, *flags)
    assert command.steps(workdir, "stem")[-1] == 500
    rows = command.metric_rows(workdir, "stem")
    assert [row["step"] for row in rows] == [*range(1, 501)]


def test_gan_without_stem_names_the_stage_to_run(tiny_data, tmp_path):
    result = command.run(tmp_path / "run", tiny_data, "--stage=gan")
    assert result.status == 1
    assert "error: there is no stem checkpoint" in result.output
    assert "run --stage=stem first" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("stage", "network"), [("stem", "inception_v3"), ("stream", "resnet152")]
)
def test_missing_backbone_names_file_and_source(tmp_path, stage, network):
    changes = {
        f"{stage}.encoder": network,
        "stream.trunk_from_stem": False,
        "data.root": str(tmp_path / "data"),
    }
    config = tiny.tiny_config(**changes)
    wanted = [*configs.STAGES, "evaluate"]
    with pytest.raises(ValueError, match=f"config.weights.{network} is empty") as error:
        runs.run(config, str(tmp_path / "run"), wanted)
    for part in (".safetensors", network, "timm", "torchvision", "weights.random=True"):
        assert part in str(error.value)
    # Before anything slow: nothing was drawn or written.
    assert not list(tmp_path.iterdir())
    config.weights.random = True
    assert backbones.missing(config, stage) is None


def test_absent_backbone_file_is_named(tmp_path):
    path = str(tmp_path / "absent.safetensors")
    config = tiny.tiny_config(
        **{
            "stem.encoder": "inception_v3",
            "stream.trunk_from_stem": False,
            "weights.inception_v3": path,
        }
    )
    wanted = f"config.weights.inception_v3 = '{path}' does not exist"
    with pytest.raises(ValueError, match=re.escape(wanted)):
        runs.run(config, str(tmp_path / "run"), ["stem"])


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--config.gan.nfg=8", "nfg"),
        ("--config.gan.ngf=many", "many"),
        ("--stage=glam", "glam"),
        ("--config.gan.ngf=0", "config.gan.ngf = 0: allowed are numbers above zero"),
    ],
)
def test_wrong_flag_is_said_in_a_sentence(tmp_path, flag, wanted):
    result = command.run(tmp_path / "run", tmp_path / "data", flag)
    assert result.status == 1
    assert "error" in result.output and wanted in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("margin", "passes"), [(0.0, True), (9.0, False)])
def test_gate_refuses_a_stream_that_ignores_the_image(
    uninterrupted, tiny_data, margin, passes, capsys
):
    changes = {"stream.gate_margin": margin, "data.root": str(tiny_data)}
    config = tiny.tiny_config(**changes)
    mesh = meshes.create_mesh()
    dataset = runs.load_data(config)
    stream = layout.load_stream(config, uninterrupted.workdir, mesh)
    if passes:
        quick.check_gate(config, dataset, mesh, stream)
        assert "cross entropy a word is" in capsys.readouterr().out
    else:
        with pytest.raises(ValueError, match="gate_margin = 9.0 or more"):
            quick.check_gate(config, dataset, mesh, stream)


@pytest.mark.parametrize(("which", "value"), [("latest", 3.0), ("best", 2.0)])
def test_later_stages_take_the_checkpoint_that_is_asked_for(tmp_path, which, value):
    writer = checkpoints.Checkpoints(
        tmp_path, "stream", metric="matched", lower_is_better=True
    )
    for step, matched in ((1, 0.9), (2, 0.1), (3, 0.5)):
        tree = {"params": {"w": np.full(2, float(step))}, "batch_stats": {}}
        writer.save(
            step,
            {"captioner": tree},
            config=tiny.tiny_config().to_dict(),
            vocab=[],
            metrics={"matched": matched, "shuffled": 1.0, "margin": 1 - matched},
        )
    writer.close()
    config = tiny.tiny_config(**{"weights.checkpoint": which, "stream.num_steps": 3})
    found = layout.load_stream(config, tmp_path, meshes.create_mesh())
    np.testing.assert_array_equal(found["params"]["w"], value)
    config.stream.num_steps = 4
    with pytest.raises(ValueError, match="stage stream is at step 3 of 4"):
        layout.load_stream(config, tmp_path, meshes.create_mesh())
