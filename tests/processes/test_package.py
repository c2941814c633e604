"""The package from outside: what a person calls, and what a wheel holds."""

import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml
from support import CONFIGS, ROOT

import mirrorgan_jax
from mirrorgan_jax.inference import model
from mirrorgan_jax.settings import base as configs


def test_what_a_person_calls_is_there_when_it_is_asked_for():
    assert mirrorgan_jax.Model is model.Model
    assert mirrorgan_jax.load == model.Model.load
    assert mirrorgan_jax.base_config is configs.base_config
    assert {"load", "Model", "base_config"} <= set(dir(mirrorgan_jax))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mirrorgan_jax.lode  # noqa: B018


def test_import_brings_nothing_with_it():
    code = (
        "import sys; import mirrorgan_jax;"
        "print([m for m in ('jax', 'numpy', 'absl', 'etils') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """(names of its files, metadata) of the wheel."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy: building leaves folders behind.
    for name in ("mirrorgan_jax", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    result = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "-w", folder, folder / "copy"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (metadata,) = [data for name, data in files.items() if name.endswith("/METADATA")]
    return files, metadata.decode()


def test_wheel_holds_the_package_its_configurations_and_its_page(wheel):
    files, _ = wheel
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "mirrorgan_jax").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    configurations = {f"mirrorgan_jax/configs/{p.name}" for p in CONFIGS.glob("*.py")}
    assert {n for n in files if ".dist-info/" not in n} == package | configurations
    assert "mirrorgan_jax/py.typed" in package
    assert "mirrorgan_jax/report/templates/report.html" in package
    (scripts,) = [d for name, d in files.items() if name.endswith("entry_points.txt")]
    assert b"mirrorgan = mirrorgan_jax.cli.verbs:cli" in scripts


def test_core_needs_no_tensorflow(wheel):
    _, metadata = wheel
    needed = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    core = [line for line in needed if "extra ==" not in line]
    assert any(line.startswith("jax") for line in core)
    assert not any(re.match("tensor|clu|array|torch", line) for line in core)
    assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)) == {
        "data", "hub", "test", "torch", "tpu",
    }  # fmt: skip
    assert f"Version: {mirrorgan_jax.__version__}" in metadata
    assert "https://arxiv.org/abs/1903.05854" in metadata


def test_constraints_name_a_version_of_everything_that_is_asked_for(wheel):
    _, metadata = wheel
    plain = [
        re.split(r"[^\w-]", line)[0].lower().replace("_", "-")
        for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert set(plain) - pinned <= {"setuptools"}


def test_changes_and_citation_name_the_version():
    version = mirrorgan_jax.__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["preferred-citation"]["title"].startswith("MirrorGAN")


def test_continuous_integration_calls_the_script():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [
        s["run"] for job in jobs["jobs"].values() for s in job["steps"] if "run" in s
    ]
    assert "bash .ci/run" in commands


def test_installed_package_brings_its_own(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(ROOT / "mirrorgan_jax", site / "mirrorgan_jax")
    shutil.copytree(CONFIGS, site / "mirrorgan_jax" / "configs")
    code = "from mirrorgan_jax.settings import named; print(named.resolve('cub'))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(site)}, check=True,
    )  # fmt: skip
    assert result.stdout.strip() == str(site / "mirrorgan_jax" / "configs" / "cub.py")
