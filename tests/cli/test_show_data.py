"""The contact sheet of a data set: pixels, words and places as in the batches."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support import ROOT, TESTS, forms, tiny

from mirrorgan_jax import run as runs
from mirrorgan_jax import text
from mirrorgan_jax.cli import show_data, verbs
from mirrorgan_jax.data import damage, pipeline
from mirrorgan_jax.inference import pictures
from mirrorgan_jax.models import resize

TINY = f"--config={TESTS / 'support' / 'tiny_config.py'}"


@pytest.fixture
def show(tiny_data, tmp_path, capsys):
    """Runs the command; returns (status, sheet or None, lines, errors)."""

    def command(*flags, out=tmp_path / "sheet.png"):
        root = f"--config.data.root={tiny_data}"
        argv = ["mirrorgan", "show-data", TINY, root, f"--out={out}", *flags]
        status = verbs.cli(argv)
        said = capsys.readouterr()
        sheet = np.asarray(Image.open(out)) if not status else None
        return status, sheet, said.out.splitlines(), said.err

    return command


@pytest.fixture(scope="module")
def dataset(tiny_data):
    return runs.load_data(tiny.tiny_config(**{"data.root": str(tiny_data)}))


def _places(sheet, image, factor):
    """Where an image stands whole, each pixel `factor` wide: [(y, x)]."""
    large = image.repeat(factor, 0).repeat(factor, 1)
    side = len(large)
    top = sheet[: len(sheet) - side + 1, : sheet.shape[1] - side + 1]
    low = sheet[side - 1 :, side - 1 :]
    corners = (top == large[0, 0]).all(-1) & (low == large[-1, -1]).all(-1)
    return [
        (y, x)
        for y, x in np.argwhere(corners).tolist()
        if (sheet[y : y + side, x : x + side] == large).all()
    ]


def _kept(line):
    """The words of a picture's line that are not in brackets."""
    return [word for word in line.split(": ")[-1].split() if word[0] not in "[("]


def _train_batch(split, size, rows, seed):
    return next(
        pipeline.train_batches(
            split, batch_size=len(split), rows=rows, image_size=size, num_words=8,
            seed=seed, cache_mib=0, say=lambda line: None,
        )
    )  # fmt: skip


def test_damaged_picture_is_named_and_the_next_one_shown(show, dataset, monkeypatch):
    split = dataset.train
    index = int(_train_batch(split, 32, [0], 0)["index"][0])
    error = damage.Unreadable(index, "train: a is damaged", "advice", damaged=True)
    monkeypatch.setitem(split.pictures.damaged, index, error)
    monkeypatch.setattr(runs, "load_data", lambda config: dataset)
    status, _, lines, err = show("--n=1", "--seed=0", "--config.data.bad_pictures=0.1")
    assert status == 0, err
    assert split.names[(index + 1) % len(split)] in lines[1]
    assert "train: a is damaged: the next good picture takes its place" in lines
    status, _, _, err = show("--n=1", "--seed=0", "--config.data.bad_pictures=0")
    assert status == 1 and "data.bad_pictures = 0.0 allows 0" in err


@pytest.mark.parametrize("seed", [0, 5])
def test_train_shows_crops_and_words_of_the_batches(show, dataset, seed):
    split = dataset.train
    status, sheet, lines, err = show("--n=5", f"--seed={seed}")
    assert status == 0, err
    batch = _train_batch(split, 32, [0, 67, 134, 201, 269], seed)
    coarse = resize.pyramid(resize.from_uint8(batch["image"]), (16,))[0]
    for crop, small in zip(batch["image"], pictures.to_uint8(coarse), strict=True):
        (y, x), *_ = _places(sheet, crop, 6)  # to 192 pixels
        assert (y, x - 16 * 6 - 4) in _places(sheet, small, 6)
    kept = [dataset.vocab.decode(row) for row in batch["tokens"]]
    assert [" ".join(_kept(line)) for line in lines[1:-1]] == kept
    for line, index in zip(lines[1:-1], batch["index"], strict=True):
        name, box = split.names[index], ", ".join(map(str, split.boxes[index]))
        about = f"class {split.class_ids[index]} {split.class_names[index]}"
        assert line.startswith(f"{name}: {about}, box {box}: ")
        every = [word.strip("[]") for word in line.split(": ")[-1].split()]
        assert every in [dataset.vocab.tokenize(own) for own in split.texts[index]]
    assert any("[" in line for line in lines[1:-1])


def test_title_counts_pictures_captions_and_words(show, tmp_path):
    _, _, lines, _ = show("--n=3", "--split=test")
    assert lines[0].startswith(
        "toybirds: train 270 pictures, 2,700 captions, validation 30 pictures, 300"
        " captions, test 100 pictures, 1,000 captions; vocabulary "
    )
    assert "data.words = ascii. 3 pictures of test, seed 0" in lines[0]
    assert "crops of whole pictures; text.eval_words = 10: [cut off]" in lines[0]
    assert len(lines) == 5 and lines[-1] == f"sheet: {tmp_path / 'sheet.png'}"


def test_sizes_of_the_stages_have_a_column_each(dataset):
    config = tiny.tiny_config(**{"stem.image_size": 40})
    asked = []

    def batch(size):
        asked.append(size)
        return {"image": np.zeros((2, size, size, 3), np.uint8)}

    found = show_data.columns(config, batch)
    assert [name for name, _ in found] == [
        "GAN 16 px", "STREAM, GAN 32 px", "STEM 40 px"
    ]  # fmt: skip
    assert [images.shape[1] for _, images in found] == [16, 32, 40]
    assert asked == [32, 40]


def test_test_shows_centre_crops_and_first_words(show, dataset):
    split = dataset.test
    _, sheet, lines, _ = show("--n=4", "--split=test", "--config.eval.num_images=0")
    rows = [split.names.index(line.partition(": ")[0]) for line in lines[1:-1]]
    assert rows == [0, 33, 66, 99]
    (batch,) = pipeline.eval_batches(
        split, indices=rows, captions=[0] * 4, batch_size=4, image_size=32, num_words=10
    )
    for row, crop, line in zip(rows, batch["image"], lines[1:-1], strict=True):
        assert _places(sheet, crop, 6)
        kept = _kept(line)
        owned = [dataset.vocab.tokenize(own)[:10] for own in split.texts[row]]
        assert kept in owned
        assert all(word[0] == "[" for word in line.split(": ")[-1].split()[len(kept) :])


def test_validation_shows_what_checkpoints_are_chosen_by(show, dataset):
    status, _, lines, err = show("--n=9", "--split=validation")
    assert status == 0, err
    shown = {line.partition(": ")[0] for line in lines[1:-1]}
    assert len(shown) == 8  # eval.quick_images
    assert shown <= {*dataset.validation.names}
    status, _, _, err = show("--split=validation", "--config.data.validation=0")
    assert status == 1 and "data.validation = 0 holds no pictures out" in err


def test_more_pictures_than_are_evaluated_show_each_once(show):
    _, _, lines, _ = show("--n=9", "--split=test")
    names = {line.partition(": ")[0] for line in lines[1:-1]}
    assert len(names) == len(lines) - 2 == 8  # eval.num_images


def test_words_that_are_not_kept_are_marked():
    vocab = text.Vocabulary(["<end>", "a", "red", "bird"])
    found = show_data.marked("A red, wug A bird!", vocab, [0, 3])
    assert found == [
        ("a", True), ("[red]", False), ("(wug)", False), ("[a]", False), ("bird", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("box", "said", "crops"),
    [
        ([1, 2, 9, 8], "box 1, 2, 9, 8", "the squares around boxes"),
        (None, "no box", "whole pictures"),
    ],
)
def test_own_pictures_are_shown_and_their_names_escaped(
    tmp_path, show, box, said, crops
):
    names = ["\x1b[31m.jpg", *forms.NAMES[1:4]]
    rows = [
        {"file_name": name, "text": "a bird", "split": split, "box": box}
        for name, split, box in zip(
            names, ("train", "train", "test", "test"), (box,) * 4, strict=True
        )
    ]
    listed = forms.lines(map(json.dumps, rows))
    contents = {**forms.pictures(names=names), "metadata.jsonl": listed}
    source = forms.write(tmp_path / "own", contents)
    flags = ["--config.data.name=folder", f"--config.data.source={source}", "--n=2"]
    flags += ["--config.data.validation=0"]
    status, _, lines, err = show(*flags, f"--config.data.root={tmp_path / 'root'}")
    assert status == 0, err
    assert any(f"crops of {crops};" in line for line in lines)
    shown = [line for line in lines if f", {said}: a bird" in line]
    assert len(shown) == 2 and "\x1b" not in "".join(lines)
    assert any(line.startswith("\\x1b[31m.jpg: class ") for line in shown)
    status, _, _, err = show(*flags, out=source / "sheet.png")
    assert status == 1 and "lies in config.data.source" in err and "\n" == err[-1]


def test_its_own_sheet_is_replaced_and_no_other_file(show, tmp_path):
    out = tmp_path / "mine.png"
    assert show("--n=1", out=out)[0] == 0
    first = out.read_bytes()
    assert show("--n=2", out=out)[0] == 0 and out.read_bytes() != first
    for content in (b"text", forms.picture(0, "PNG")):
        out.write_bytes(content)
        status, _, _, err = show("--n=1", out=out)
        assert status == 1 and f"--out={out} exists and is no sheet" in err
        assert err.count("\n") == 1 and out.read_bytes() == content


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split=val"], "--split=val"),
        (["--n=0"], "--n=0"),
        (["--n=x"], "flag --n: 'x' is no whole number"),
        (["--n=257"], "--n=257"),
        (["--seed=-1"], "--seed=-1"),
        (["--out=sheet.jpg"], "--out=sheet.jpg: allowed is a name that ends in .png"),
        (["--config.data.name=cub"], "config.data.source is empty"),
        (["--config.data.name=bird"], "config.data.name = 'bird'"),
        (["--config.text.num_words=0"], "config.text.num_words = 0"),
        (["more"], "'more' is no flag"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(show, flags, message):
    status, _, lines, err = show(*flags)
    assert status == 1 and not lines
    assert err.startswith("error") and message in " ".join(err.split())


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mirrorgan_jax.cli import verbs;"
        "verbs.cli(['mirrorgan', 'show-data', '--help']);"
        "print([m for m in ('jax', 'tensorflow', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
