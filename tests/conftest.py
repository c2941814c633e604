"""Settings that every test needs before jax is imported, and shared runs."""

import os
from pathlib import Path

# Subprocesses inherit these, so that they compile nothing twice.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path("~/.cache/mirrorgan_jax/tests").expanduser()),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Accelerators multiply float32 with less than float32 otherwise.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# [B, C] + [C] is written out: an axis that is missing by mistake is an error.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import pytest
from support import command


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Folder of prepared data, drawn once for the whole session."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, tiny_data):
    """A finished run of every stage with the tiny configuration."""
    workdir = tmp_path_factory.mktemp("run") / "uninterrupted"
    return command.finished(workdir, tiny_data)
