"""Tests know the package by its public names alone."""

import ast

import pytest
from support import TESTS

# Public in spite of their names.
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}
OWN = {"self", "cls"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def privates(tree):
    """(line, name) of every private name of something else that is read or set."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            of_its_own = isinstance(node.value, ast.Name) and node.value.id in OWN
            names = [] if of_its_own else [node.attr]
        elif isinstance(node, ast.Call) and "attr" in ast.unparse(node.func):
            # getattr(x, "_name"), monkeypatch.setattr("module._name", ...)
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            names = [t.rpartition(".")[2] for t in texts if isinstance(t, str)]
        yield from ((node.lineno, name) for name in names if is_private(name))


@pytest.mark.parametrize(
    "path",
    sorted(TESTS.rglob("*.py")),
    ids=lambda path: str(path.relative_to(TESTS)),
)
def test_no_test_reaches_into_privates(path):
    found = [
        f"line {line}: {name}" for line, name in privates(ast.parse(path.read_text()))
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "from a import _b",
        "a._b",
        "a.c._b()",
        "monkeypatch.setattr(a, '_b', 1)",
        "monkeypatch.setattr('a._b', 1)",
        "getattr(a, '_b')",
    ],
)
def test_reaches_are_found(code):
    assert [name for _, name in privates(ast.parse(code))] == ["_b"]


@pytest.mark.parametrize("code", ["self._b", "_b = 1", "a.__name__", "a._replace(b=1)"])
def test_own_names_and_public_ones_are_no_reaches(code):
    assert not [*privates(ast.parse(code))]
