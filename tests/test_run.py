"""What a run makes of its stages."""

import dataclasses

import jax
import numpy as np
import pytest
from support import random_runs, tiny

from mirrorgan_jax import run as runs
from mirrorgan_jax import text
from mirrorgan_jax.data import datasets
from mirrorgan_jax.evaluation import protocol
from mirrorgan_jax.training import loop


@pytest.mark.full
def test_gan_is_evaluated_and_drawn_by_its_average(tmp_path, tiny_data, monkeypatch):
    config = tiny.tiny_config(**{"data.root": str(tiny_data)})
    words = runs.load_data(config).vocab.words
    random_runs.write(tmp_path, words)
    tasks = []
    monkeypatch.setattr(loop, "run_stage", lambda task, **unused: tasks.append(task))
    runs.run(config, tmp_path, ["gan"])
    (task,) = tasks
    state = task.create(jax.random.key(0))
    # Whatever looks at the raw generator finds nothing.
    averaged = state.replace(generator=None)
    results = task.evaluate(averaged)
    assert results == task.evaluate(state)
    assert np.isfinite([*results.values()]).all()
    task.sample(averaged, 3)
    assert (tmp_path / "samples" / "0000003.png").exists()


@pytest.mark.parametrize("rule", text.RULES)
def test_damaged_words_are_said_before_anything_is_trained(
    tmp_path, monkeypatch, capsys, rule
):
    own = [["V\u00f6gel im Baum"], ["ein Vogel"]]
    vocab = text.Vocabulary.from_captions(sum(own, []), rule)
    ids = [[vocab.encode(c) for c in some] for some in own]
    fields = {"name": "train", "texts": own, "captions": ids}
    split = type("Split", (list,), fields)()
    dataset = datasets.Dataset("own", vocab, split, None, split, None, contents="")
    monkeypatch.setattr(runs, "load_data", lambda config: dataset)
    runs.run(tiny.tiny_config(**{"data.words": rule}), tmp_path, [])
    said = capsys.readouterr().out
    assert ("cuts letters out of 1 of 5 words" in said) == (rule == "ascii")


def test_one_class_for_all_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    ids = np.zeros(9, np.int32)
    vocab = text.Vocabulary.from_captions(["a bird"])
    split = type("Split", (list,), {"name": "train", "class_ids": ids})(ids)
    dataset = datasets.Dataset("own", vocab, split, None, split, None, contents="")
    monkeypatch.setattr(runs, "load_data", lambda config: dataset)
    with pytest.raises(ValueError, match="9 of 9 training pictures are of class 0"):
        runs.run(tiny.tiny_config(), tmp_path, ["stem"])
    assert not list(tmp_path.iterdir())


def test_data_that_have_changed_are_refused(tmp_path, tiny_data, monkeypatch):
    config = tiny.tiny_config(**{"data.root": str(tiny_data)})
    dataset = runs.load_data(config)
    trained = {"data.root": str(tiny_data), "data.contents": dataset.contents}
    random_runs.write(tmp_path, dataset.vocab.words, **trained)
    first, _, others = dataset.contents.partition(", ")
    part = first.rpartition(" ")[0]
    changed = dataclasses.replace(dataset, contents=f"{part} 0, {others}")
    monkeypatch.setattr(runs, "load_data", lambda config: changed)
    for stage in ("evaluate", "gan"):
        with pytest.raises(ValueError, match=f"the data's {part} are others"):
            runs.run(config, tmp_path, [stage])
    with pytest.raises(ValueError, match=f"the data's {part} are others"):
        runs.test_examples(tiny.tiny_config(**trained), 1, 16)


@pytest.mark.parametrize("share", [0.1, 0.0])
def test_all_that_chooses_looks_at_validation_images(
    tmp_path, tiny_data, monkeypatch, capsys, share
):
    """The quick evaluations of every stage and STREAM's gate; test images without."""
    changes = {"data.root": str(tiny_data), "data.validation": share}
    config = tiny.tiny_config(**changes)
    words = runs.load_data(config).vocab.words
    random_runs.write(tmp_path, words, **changes)
    (tmp_path / "gan").rename(tmp_path / "before")  # so that the gate is asked
    tasks, looked, make = [], [], protocol.make

    def looks(split, **options):
        looked.append(split.name)
        return make(split, **options)

    monkeypatch.setattr(protocol, "make", looks)
    monkeypatch.setattr(loop, "run_stage", lambda task, **unused: tasks.append(task))
    runs.run(config, tmp_path, ["stem", "stream", "gan", "heldout"])
    name = "validation" if share else "test"
    assert looked == [name] * 5
    assert {task.evaluated for task in tasks} == {f"{name} images"}
    said = capsys.readouterr().out
    assert f"on shuffled {name} images" in said
    choice = (
        "30 validation images of 15 classes held out of training"
        if share
        else "the test images themselves (data.validation = 0)"
    )
    assert said.count(f"chosen on {choice}") == 5  # once before the four stages


def test_test_images_are_for_the_final_evaluation(tmp_path, tiny_data, monkeypatch):
    class Seen(Exception):
        """The split that is looked at first."""

    def looks(split, **options):
        raise Seen(split.name)

    changes = {"data.root": str(tiny_data)}
    config = tiny.tiny_config(**changes)
    random_runs.write(tmp_path, runs.load_data(config).vocab.words, **changes)
    monkeypatch.setattr(protocol, "make", looks)
    with pytest.raises(Seen, match="test"):
        runs.run(config, tmp_path, ["evaluate"])


def test_a_run_of_before_is_refused_by_the_share_that_is_held_out(tmp_path, tiny_data):
    root = {"data.root": str(tiny_data)}
    config = tiny.tiny_config(**root)
    whole = tiny.tiny_config(**root, **{"data.validation": 0.0})
    dataset = runs.load_data(whole)
    trained = {"data.validation": 0.0, "data.contents": dataset.contents}
    random_runs.write(tmp_path, dataset.vocab.words, **root, **trained)
    for stage in ("evaluate", "gan"):
        with pytest.raises(ValueError, match=r"data\.validation = 0\.1, was 0\.0"):
            runs.run(config, tmp_path, [stage])


def test_another_rule_of_holding_out_is_refused(tmp_path, tiny_data, monkeypatch):
    config = tiny.tiny_config(**{"data.root": str(tiny_data)})
    dataset = runs.load_data(config)
    trained = {"data.root": str(tiny_data), "data.contents": dataset.contents}
    random_runs.write(tmp_path, dataset.vocab.words, **trained)
    held = datasets.holdout.numbers
    monkeypatch.setattr(datasets.holdout, "numbers", lambda *rest: held(*rest)[1:])
    with pytest.raises(ValueError, match="the data's validation names are others"):
        runs.run(config, tmp_path, ["gan"])
