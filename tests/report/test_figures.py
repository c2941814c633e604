"""The paper's figures: what they are made of, and what they refuse."""

import numpy as np
import pytest
from support import random_runs

from mirrorgan_jax.inference import model as api
from mirrorgan_jax.report import figures, sheets

CAPTION = "This small red bird has blue wings."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("panels") / "run"))


@pytest.fixture
def tables(monkeypatch):
    """Arguments of every table that is drawn."""
    seen, draw = [], sheets.table

    def record(rows, **options):
        seen.append({"rows": rows, **options})
        return draw(rows, **options)

    monkeypatch.setattr(sheets, "table", record)
    return seen


def _images(row):
    return np.stack([cell.image for cell in row])


def test_marked_are_words_that_say_something_as_often_as_the_caption_has_them():
    found = figures.marked("a red red bird with wings", "a red bird with wings".split())
    kept = [word for word, color in found if color == sheets.AGREES]
    assert kept == ["red", "wings"]
    assert " ".join(word for word, _ in found) == "a red red bird with wings"


def test_methods_have_a_row_each_and_the_truth_last(model, tables):
    real = np.full((2, 16, 16, 3), 7, np.uint8)
    figures.methods({"A": model, "B": model}, ["a bird", CAPTION], real=real, seed=2)
    (table,) = tables
    assert table["labels"] == ["A", "B", "ground truth"]
    assert table["headings"] == ["a bird", CAPTION]
    made = model.generate(["a bird", CAPTION], seed=2).images[-1]
    np.testing.assert_array_equal(_images(table["rows"][0]), made)
    np.testing.assert_array_equal(_images(table["rows"][2]), real)
    with pytest.raises(ValueError, match="2 real images and 1 captions"):
        figures.methods({"A": model}, ["a bird"], real=real)


def test_many_captions_go_on_below(model, tables):
    figures.methods({"A": model}, ["a bird"] * 9)
    assert [len(table["rows"][0]) for table in tables] == [8, 1]


def test_stages_show_the_maps_of_the_strongest_words(model, tables):
    figures.stages(model, ["red bird", CAPTION])
    assert [table["title"] for table in tables] == ["red bird", CAPTION]
    images, maps = tables[0]["rows"]
    assert [np.shape(cell.image)[0] for cell in images] == [16, 32]
    names = [cell.paragraphs[0] for cell in maps]
    assert sorted(names) == ["bird", "red", "sentence"]
    assert len(tables[1]["rows"][1]) == 1 + 5


def test_swap_keeps_the_noise(model, tables):
    figures.swap(model, CAPTION, [("red", "blue"), ("blue", "yellow")], seed=4)
    (table,) = tables
    captions = [" ".join(word for word, _ in h) for h in table["headings"]]
    assert captions == [
        "this small red bird has blue wings",
        "this small blue bird has blue wings",
        "this small red bird has yellow wings",
    ]
    for image, caption in zip(_images(table["rows"][0]), captions, strict=True):
        alone = model.generate([caption], seed=4).images[-1][0]
        np.testing.assert_allclose(image, alone, atol=1e-5)  # another batch's rounding
    assert len(table["rows"]) == 3


def test_swap_refuses_words_that_are_not_there(model):
    with pytest.raises(ValueError, match="cannot replace 'green': .*'this small red"):
        figures.swap(model, CAPTION, [("green", "red")])
    with pytest.raises(ValueError, match="cannot put 'zebra' in the place of 'red'"):
        figures.swap(model, CAPTION, [("red", "zebra")])


def test_spherical_points_keep_the_length():
    rng = np.random.default_rng(0)
    first = rng.normal(size=50)
    last = rng.normal(size=50)
    last *= np.linalg.norm(first) / np.linalg.norm(last)
    points = figures.spherical(first, last, np.linspace(0, 1, 5))
    lengths = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-12)
    np.testing.assert_allclose(points[[0, -1]], [first, last], atol=1e-12)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-10)
    for other in (first, -first, np.zeros(50)):
        straight = figures.spherical(first, other, [0.5])[0]
        np.testing.assert_allclose(straight, (first + other) / 2, atol=1e-12)


def test_interpolation_starts_and_ends_where_it_says(model, tables):
    figures.interpolation(model, CAPTION, to="a yellow bird", steps=4, seed=1)
    noise, captions = (_images(row) for row in tables[0]["rows"])
    ends = model.generate([CAPTION, "a yellow bird"], seed=1, n=2).images[-1]
    # Interpolated noise differs from the drawn one by float32 rounding.
    close = {"atol": 1e-5}
    np.testing.assert_allclose(noise[[0, -1]], ends[:2], **close)
    np.testing.assert_allclose(captions[[0, -1]], ends[[0, 2]], **close)
    assert len(np.unique(noise.reshape(4, -1), axis=0)) == 4
    assert len(np.unique(captions.reshape(4, -1), axis=0)) == 4
    with pytest.raises(ValueError, match="steps = 1"):
        figures.interpolation(model, CAPTION, steps=1)


def test_truncation_holds_for_both_rows(model, tables):
    figures.interpolation(model, CAPTION, to=CAPTION, steps=3, truncation=0)
    noise, captions = (_images(row) for row in tables[0]["rows"])
    for row in (noise, captions):
        np.testing.assert_array_equal(row, noise[:1].repeat(3, 0))


def test_redescription_shows_words_and_score(model, tables):
    real = np.zeros((2, 32, 32, 3), np.uint8)
    figures.redescription(model, ["a bird", CAPTION], real=real)
    (table,) = tables
    assert table["labels"] == ["generated", "real"]
    for row in table["rows"]:
        counts = [len(cell.paragraphs[0]) for cell in row]
        assert counts == [2, 7], "as many words as the caption"
    score = " ".join(word for word, _ in table["rows"][1][0].paragraphs[1])
    black = np.full((1, 32, 32, 3), -1.0)
    assert score == f"{model.caption_scores(black, ['a bird'])[0]:.2f} nats a word"
