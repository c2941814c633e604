"""Configurations by name."""

import pytest
from support import CONFIGS

from mirrorgan_jax.settings import named


def test_names_are_the_files_that_come_with_the_package():
    assert named.names() == sorted(path.stem for path in CONFIGS.glob("*.py"))


@pytest.mark.parametrize("rest", ["", ":reference", ":reference,attngan"])
def test_name_stands_for_its_file_and_keeps_what_follows(rest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named.resolve(f"cub{rest}") == f"{CONFIGS / 'cub.py'}{rest}"


def test_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("own.py", "cub"):
        (tmp_path / path).write_text("")
        assert named.resolve(f"{path}:paper") == f"{path}:paper"


@pytest.mark.parametrize("text", ["birds", "configs/none.py:paper", "", "toybirds.py"])
def test_what_is_neither_is_refused_with_what_there_is(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no file .*cub, .*toybirds32") as error:
        named.resolve(text)
    assert "\n" not in str(error.value)
