"""Modules import without TensorFlow and torch, and change nothing by it."""

import json
import pkgutil
import subprocess
import sys

from support import ROOT

import mirrorgan_jax

_BLOCKED = """
import importlib, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

BLOCKED = {"tensorflow", "tensorflow_datasets", "tensorboard", "torch", "torchvision"}
sys.meta_path.insert(0, Blocked())
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""

# What libraries do when they are imported is theirs: they come first.
_UNTOUCHED = """
import importlib, json, os, signal, sys, warnings
import absl.logging, jax, numpy as np, orbax.checkpoint as ocp
import flax.linen, ml_collections.config_flags, optax
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)

def found():
    kinds = ocp.type_handlers
    types = int, float, str, bytes, np.number, np.ndarray, jax.Array
    return {
        "Orbax's global registry": {str(t): kinds.get_type_handler(t) for t in types},
        "jax's configuration": dict(jax.config.values),
        "environment": dict(os.environ),
        "signal handlers": {s.name: signal.getsignal(s) for s in signal.valid_signals()
                            if isinstance(s, signal.Signals)},
        "warning filters": dict(enumerate(warnings.filters)),
        "random numbers": {"": str(np.random.get_state())},
        "path of imports": dict(enumerate(sys.path)),
    }

before = found()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
after = found()
print(json.dumps([
    f"{what}: {key}" for what in before for key in {**before[what], **after[what]}
    if before[what].get(key) != after[what].get(key)
]))
"""


def modules():
    """Names of all modules of the package that a person may import."""
    found = pkgutil.walk_packages(mirrorgan_jax.__path__, "mirrorgan_jax.")
    return sorted(module.name for module in found)


def run(script, *arguments):
    """What a script prints as JSON in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", script, *map(json.dumps, arguments)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_modules_outside_data_import_without_tensorflow_and_torch():
    core = [name for name in modules() if not name.startswith("mirrorgan_jax.data.")]
    # The last one is known to need TensorFlow: the block works.
    failed = run(_BLOCKED, [*core, "mirrorgan_jax.data.pipeline"])
    assert "is blocked" in failed.pop("mirrorgan_jax.data.pipeline")
    assert not failed, json.dumps(failed, indent=1)


def test_importing_the_package_changes_nothing_else():
    libraries = ["tensorflow", "tensorflow_datasets"]
    assert not run(_UNTOUCHED, modules(), libraries)


def test_text_imports_only_the_standard_library():
    code = (
        "import sys; import mirrorgan_jax.text;"
        "bad = {'numpy', 'jax', 'tensorflow', 'torch'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert result.returncode == 0, result.stderr
