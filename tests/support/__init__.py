"""What tests of several rooms share."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
CONFIGS = ROOT / "configs"
# For scripts of this folder that run as processes of their own.
PYTHONPATH = f"{ROOT}:{TESTS}"
