"""Doors: modules that open a verb."""

import subprocess
import sys

import pytest
from support import ROOT


@pytest.mark.parametrize(
    ("module", "verb"),
    [
        ("mirrorgan_jax", "train"),
        ("mirrorgan_jax.main", "train"),
        *((f"mirrorgan_jax.{v}", v) for v in ("sample", "figures", "report")),
        ("mirrorgan_jax.reproduce", "reproduce"),
    ],
)
def test_door_opens_its_verb(module, verb):
    words = [module, *([verb] if module == "mirrorgan_jax" else []), "--help"]
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert f"  mirrorgan {verb} " in result.stdout
