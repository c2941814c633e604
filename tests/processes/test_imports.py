"""The core levels import on a machine without TensorFlow and torch."""

import json
import pkgutil
import subprocess
import sys

from support import ROOT

import mirrorgan_jax

# Level 4: these may import TensorFlow. Everything else may not.
UPPER = {
    "main", "evaluation", "cli.reproduce", "data", "training.loop",
}  # fmt: skip

_SCRIPT = """
import importlib, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

BLOCKED = {"tensorflow", "tensorflow_datasets", "clu", "torch", "torchvision"}
sys.meta_path.insert(0, Blocked())
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""


def modules():
    """Names of all modules of the package, without the package's own name."""
    prefix = "mirrorgan_jax."
    found = pkgutil.walk_packages(mirrorgan_jax.__path__, prefix)
    return sorted(module.name.removeprefix(prefix) for module in found)


def import_blocked(names):
    """{module: error} of what fails to import without TensorFlow and torch."""
    names = [f"mirrorgan_jax.{name}" for name in names]
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(names)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout)


def test_core_levels_import_without_tensorflow_and_torch():
    core = [
        name
        for name in modules()
        if name not in UPPER and name.partition(".")[0] not in UPPER
    ]
    assert {
        "settings.base", "parallel.mesh", "text", "workdir.files", "models.build",
        "workdir.checkpoints", "cli.figures", "models.glam", "losses.damsm",
        "training.state", "training.stem_step", "training.stream_step",
        "training.gan_step", "weights.names", "weights.backbones",
        "metrics.r_precision", "training.stages", "parallel.hosts", "training.aot",
        "training.accumulation", "losses.objective", "settings.checks",
        "settings.recipes", "settings.variants", "workdir.layout", "run",
        "workdir.provenance", "metrics.fid", "metrics.features", "metrics.mirror",
        "weights.slim", "workdir.metric_log", "inference.model", "report.page",
    } <= set(core)  # fmt: skip
    # The last one is known to need TensorFlow: the block works.
    failed = import_blocked([*core, "data.pipeline"])
    assert "is blocked" in failed.pop("mirrorgan_jax.data.pipeline")
    assert not failed


def test_text_imports_only_the_standard_library():
    code = (
        "import sys; import mirrorgan_jax.text;"
        "bad = {'numpy', 'jax', 'tensorflow', 'torch'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert result.returncode == 0, result.stderr
