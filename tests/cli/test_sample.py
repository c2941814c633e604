"""Captions to pictures from the command line."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from support import random_runs

from mirrorgan_jax.cli import sample

CAPTION = "this red bird has blue wings"


@pytest.fixture
def run(uninterrupted, tmp_path, capsys):
    """Runs the command; returns (status, output, errors, {name: path})."""

    def command(*flags, workdir=uninterrupted.workdir, out="out"):
        folder = tmp_path / out
        status = sample.cli(
            ["sample", f"--workdir={workdir}", f"--out={folder}", *flags]
        )
        said = capsys.readouterr()
        found = {p.name: p for p in folder.glob("*")} if folder.exists() else {}
        return status, said.out, said.err, found

    return command


def pixels(found):
    return [np.asarray(Image.open(path)) for _, path in sorted(found.items())]


def test_images_tell_how_they_were_made(run):
    status, out, err, found = run(f"--caption={CAPTION}", "--n=3", "--seed=7")
    assert status == 0, err
    assert len(found) == 4 and "3 images" in out
    images = [path for name, path in found.items() if "sheet" not in name]
    for index, path in enumerate(sorted(images)):
        read = Image.open(path)
        assert read.size == (32, 32)
        assert read.text["caption"] == CAPTION and read.text["seed"] == "7"
        assert read.text["index"] == str(index) and read.text["step"] == "6"


def test_seed_decides_the_pictures(run):
    flags = (f"--caption={CAPTION}", "--n=2")
    one, same = (pixels(run(*flags, out=name)[3]) for name in "ab")
    other = pixels(run(*flags, "--seed=1", out="c")[3])
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.shape != third.shape or (first != third).any()


def test_truncation_zero_makes_all_images_one(run):
    *images, _ = pixels(run(f"--caption={CAPTION}", "--n=3", "--truncation=0")[3])
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


def test_unknown_words_are_named_with_near_ones(run):
    status, out, _, _ = run("--caption=a redd bird with xyzzy", "--n=1")
    assert status == 0
    assert "unknown word 'redd' is left out; near it are red" in out
    assert "unknown word 'xyzzy' is left out" in out


def test_captions_of_a_file_get_a_sheet_each(run, tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text(f"{CAPTION}\na green bird\n")
    status, _, err, found = run(f"--captions_file={path}", "--n=1")
    assert status == 0, err
    assert sum("sheet" in name for name in found) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no caption"),
        (["--caption="], "--caption number 1"),
        (["--caption=xyzzy"], "xyzzy"),
        ([f"--caption={CAPTION}", "--n=0"], "n"),
        ([f"--caption={CAPTION}", "--truncation=-1"], "truncation"),
        (["--captions_file=none.txt"], "none.txt"),
        (["xyzzy"], "caption 1 has no known word"),
        ([CAPTION, "--model=toybirds"], "--workdir and --model: give one of them"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, flags, message):
    status, _, err, found = run(*flags)
    assert status == 1 and not found
    assert err.startswith("error") and message in err and err.count("\n") == 1


def test_captions_stand_beside_the_flags_too(run):
    beside, flagged = (
        pixels(run(*flags, "--n=1", out=name)[3])
        for name, flags in {"a": [CAPTION], "b": [f"--caption={CAPTION}"]}.items()
    )
    np.testing.assert_array_equal(beside[0], flagged[0])


def test_images_alone_are_listed_and_made_once(run, tmp_path, monkeypatch):
    path = tmp_path / "captions.txt"
    path.write_text(f"{CAPTION}\na green bird\n{CAPTION}\n")
    flags = (f"--captions_file={path}", "--n=3", "--no_sheet", "--batch_size=4")
    status, out, err, found = run(*flags)
    assert status == 0, err
    images = sorted(name for name in found if name.endswith(".png"))
    assert len(images) == 9 and images[0].startswith("000-this-red-bird")
    lines = found["manifest.jsonl"].read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["file"] for row in rows[1:]] == images
    assert rows[4]["caption"] == "a green bird" and rows[4]["index"] == 0
    # The images of a sheet, under the same seed.
    sheets = run(f"--caption={CAPTION}", "--n=3", out="sheets")[3]
    for own, name in zip(pixels(sheets)[:3], images, strict=False):
        alone = np.asarray(Image.open(found[name]), int)
        assert np.abs(alone - own).max() <= 1  # batches of other sizes
    kept = {name: found[name].stat().st_mtime_ns for name in images[1:]}
    found[images[0]].unlink()
    status, out, err, found = run(*flags)
    assert status == 0 and "9 images, 8 were there" in out
    assert {name: found[name].stat().st_mtime_ns for name in images[1:]} == kept
    status, _, err, _ = run(*flags, "--seed=1")
    assert status == 1 and "images of another seed" in err


def test_an_empty_line_is_named_by_file_and_line(run, tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text(f"{CAPTION}\n\n{CAPTION}\n")
    status, _, err, found = run(f"--captions_file={path}")
    assert status == 1 and not found and f"{path} line 2" in err


def test_unfinished_runs_are_refused(run, tmp_path):
    (tmp_path / "run").mkdir()
    status, _, err, _ = run(f"--caption={CAPTION}", workdir=tmp_path / "run")
    assert status == 1 and "there is no gan checkpoint" in err


@pytest.fixture(scope="module")
def unicode_run(tmp_path_factory):
    words = ("<end>", "roter", "v\u00f6gel", "blauer", "\u9e1f")
    folder = tmp_path_factory.mktemp("unicode") / "run"
    return random_runs.write(folder, words, **{"data.words": "unicode"})


def test_words_are_listed_a_line_each(unicode_run, capsys):
    assert sample.cli(["sample", f"--workdir={unicode_run}", "--words"]) == 0
    assert capsys.readouterr().out == "blauer\nroter\nv\u00f6gel\n\u9e1f\n"


def test_words_that_a_terminal_lacks_are_escaped(unicode_run, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert sample.cli(["sample", f"--workdir={unicode_run}", "--words"]) == 0
    terminal.flush()
    said = terminal.buffer.getvalue()
    assert said.splitlines() == [b"blauer", b"roter", b"v\\xf6gel", b"\\u9e1f"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--words", "--caption=a"], "--words draws nothing"),
        (["--caption=roter\udcff"], "--caption number 1 holds half a character"),
        ([f"--caption={'roter ' * 2000}"], "has 12000 characters: at most 10000"),
        (["--caption=vogel rote"], "near are v\u00f6gel, roter"),
    ],
)
def test_prompts_that_no_rule_reads_are_refused(unicode_run, capsys, flags, message):
    assert sample.cli(["sample", f"--workdir={unicode_run}", *flags]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error") and message in said and said.count("\n") == 1


def test_prompts_are_read_by_the_rule_of_the_run(unicode_run, tmp_path, capsys):
    caption = "--caption=ROTER VO\u0308GEL\u9e1f, rouge"
    flags = [f"--workdir={unicode_run}", f"--out={tmp_path}", "--n=1", caption]
    assert sample.cli(["sample", *flags]) == 0
    said = capsys.readouterr().out
    assert said.count("unknown word") == 1 and "'rouge' is left out" in said
    assert len(list(tmp_path.glob("*.png"))) == 2
