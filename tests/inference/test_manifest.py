"""The list of images: what is whole is not made again, what was cut is."""

import pytest

from mirrorgan_jax.inference import manifest

SETTINGS = {"seed": 1, "n": 2}


def _write(folder, rows, settings=SETTINGS):
    with manifest.Manifest(folder, settings) as listed:
        for number, index, caption in rows:
            (folder / f"{number}-{index}.png").write_text("")
            listed.add(f"{number}-{index}.png", number, index, caption)


def _has(folder, *row):
    with manifest.Manifest(folder, SETTINGS) as listed:
        return listed.has(*row)


def test_what_is_listed_and_there_is_kept(tmp_path):
    _write(tmp_path, [(0, 0, "a bird"), (0, 1, "a bird")])
    assert _has(tmp_path, 0, 1, "a bird")
    assert not _has(tmp_path, 0, 1, "another bird") and not _has(tmp_path, 1, 0, "b")
    (tmp_path / "0-1.png").unlink()
    assert not _has(tmp_path, 0, 1, "a bird") and _has(tmp_path, 0, 0, "a bird")


def test_a_line_that_was_cut_does_not_swallow_the_next(tmp_path):
    _write(tmp_path, [(0, 0, "a bird"), (0, 1, "a bird")])
    path = tmp_path / manifest.NAME
    path.write_text(path.read_text()[:-10])
    assert not _has(tmp_path, 0, 1, "a bird")
    _write(tmp_path, [(0, 1, "a bird")])
    assert _has(tmp_path, 0, 0, "a bird") and _has(tmp_path, 0, 1, "a bird")
    assert len(path.read_text().splitlines()) == 3


def test_images_of_other_settings_are_not_mixed(tmp_path):
    _write(tmp_path, [(0, 0, "a bird")])
    before = (tmp_path / manifest.NAME).read_text()
    with pytest.raises(ValueError, match="images of another seed: give another --out"):
        _write(tmp_path, [], {"seed": 2, "n": 2})
    assert (tmp_path / manifest.NAME).read_text() == before


def test_buckets_have_no_files_that_grow():
    with pytest.raises(ValueError, match="gs://b/x: a list that grows needs a local"):
        manifest.Manifest("gs://b/x", SETTINGS)
