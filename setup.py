"""Package of mirrorgan_jax; `pip install -e .` or `pip install -e .[data,test]`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "mirrorgan_jax" / "__init__.py").read_text()
)[1]
LINUX_X86 = "platform_machine == 'x86_64' and sys_platform == 'linux'"
ELSEWHERE = "platform_machine != 'x86_64' or sys_platform != 'linux'"

setup(
    name="mirrorgan_jax",
    version=VERSION,
    description="MirrorGAN in JAX: text-to-image generation by redescription",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The mirrorgan_jax authors",
    license="Apache-2.0",
    project_urls={"Paper": "https://arxiv.org/abs/1903.05854"},
    keywords=["text-to-image", "GAN", "MirrorGAN", "JAX", "Flax", "TPU"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    packages=[
        *find_packages(include=["mirrorgan_jax", "mirrorgan_jax.*"]),
        "mirrorgan_jax.configs",
    ],
    # The configurations travel with the package, under their names.
    package_dir={"mirrorgan_jax.configs": "configs"},
    package_data={
        "mirrorgan_jax": ["py.typed", "pretrained/*/*"],  # the shipped models
        "mirrorgan_jax.report": ["templates/*.html"],
    },
    python_requires=">=3.11",
    install_requires=[
        "jax>=0.7",  # jax.set_mesh, AxisType; accelerators: jax[cuda12], jax[tpu]
        "flax>=0.11",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.11.20",
        "numpy>=1.26",
        "ml_collections>=1.0",
        "absl-py>=2.0",
        "etils[epath]>=1.9",  # paths, local and buckets
        "tqdm",  # progress bars
        "pillow>=10.1",  # drawing, sample grids (its built-in scalable font)
        "safetensors>=0.4",  # files of weights
        "jinja2>=3.1",  # the report's page, with everything escaped
    ],
    extras_require={
        # Reads data and writes logs: for training and evaluation.
        "data": [
            # It only reads data here: the build without GPU code where there is one.
            f"tensorflow-cpu>=2.18; {LINUX_X86}",
            f"tensorflow>=2.18; {ELSEWHERE}",
            "tensorflow-datasets>=4.9.7",
            "importlib_resources",  # TFDS imports it without declaring it
            "array-record>=0.5",  # the file format of the prepared data sets
            "clu>=0.0.12",
            "tensorboard",  # clu's writers need it, TensorFlow no longer brings it
        ],
        # Models of the Hugging Face hub by name: downloads that go on, a cache, logins.
        "hub": ["huggingface_hub>=1.0"],
        "test": [
            "huggingface_hub>=1.0",  # against a hub that a test serves
            "pytest>=8",
            "pytest-xdist>=3.6",  # tests on several cores
            "pyyaml>=6",  # the launch files
            "ruff==0.17.6",  # its formatting changes between versions
            "setuptools>=69",  # builds the wheel that a test looks into
            "wheel",  # the same, before setuptools 70.1
        ],
        # Writes a run's networks as .pth (mirrorgan convert --format=pth); PyTorch's
        # files are read without it.
        "torch": ["torch>=2"],
        # Compiles for TPU chips that are elsewhere (mirrorgan compile --topology=...),
        # and runs on those that are here.
        "tpu": ["jax[tpu]"],
    },
    entry_points={"console_scripts": ["mirrorgan = mirrorgan_jax.cli.verbs:cli"]},
)
