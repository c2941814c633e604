"""Reader of the numeric fixtures that the authors' code computed.

The fixtures are looked for in $MIRRORGAN_PARITY, then in ../shared/parity beside
the repository; the compact ones lie in tests/golden and are always there.
"""

import json
import os
import pathlib

import numpy as np
import pytest
from support import ROOT, TESTS

_PLACES = [
    os.environ.get("MIRRORGAN_PARITY", ""),
    ROOT.parent / "shared" / "parity",
    TESTS / "golden",
]


def path(file_name):
    """Path of a fixture file; skips the calling test when it is nowhere."""
    for place in _PLACES:
        if place and (pathlib.Path(place) / file_name).exists():
            return pathlib.Path(place) / file_name
    pytest.skip(f"fixture {file_name} is absent: set MIRRORGAN_PARITY to its folder")


def nhwc(array):
    """NCHW as in the fixtures -> NHWC."""
    return np.asarray(array).transpose(0, 2, 3, 1)


class Fixture:
    """Arrays and description of one fixture."""

    def __init__(self, name):
        self.meta = json.loads(path(f"{name}.json").read_text())
        npz = path(f"{name}.npz")
        with np.load(npz, allow_pickle=False) as arrays:
            self.arrays = dict(arrays)
        self.errors = self.meta.get("float32_vs_float64", {})

    def __getitem__(self, key):
        return self.arrays[key]

    def state(self, prefix="", *, group="state", dtype=None):
        """PyTorch tensors under `group/prefix`, named without it."""
        start = f"{group}/{prefix}"
        return {
            key[len(start) :]: value if dtype is None else value.astype(dtype)
            for key, value in self.arrays.items()
            if key.startswith(start)
        }

    def tolerance(self, key, dtype=np.float32):
        """Absolute tolerance of array `key` (rule of the fixtures' README)."""
        entry = self.errors.get(key, {})
        scale = entry.get("scale", float(np.abs(self[key]).max()) or 1.0)
        error = entry.get("max_abs_err", 0.0)
        if np.dtype(dtype) == np.float64:
            return max(3 * error, 1e-6 * scale)
        return max(20 * error, 2e-6 * scale)

    def assert_close(self, actual, key, dtype=np.float32):
        """Asserts that `actual` (in the fixture's layout) equals array `key`."""
        actual, expected = np.asarray(actual), self[key]
        assert actual.shape == expected.shape, (key, actual.shape, expected.shape)
        worst = float(np.abs(actual - expected).max()) if expected.size else 0.0
        bound = self.tolerance(key, dtype)
        assert worst <= bound, f"{key}: off by {worst:.3g}, allowed {bound:.3g}"


def load(name):
    """The fixture `name`; skips the calling test when it is absent."""
    return Fixture(name)
