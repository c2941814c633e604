"""Inception-v3: trunk of the DAMSM image encoder (section 3.1, after [35]), and whole
for the metrics of section 4.1.2.

Module names are torchvision's, so that its weights map onto them by name.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from mirrorgan_jax.models import layers
from mirrorgan_jax.parallel import constraints

# A convolution is (name, features, (height, width), stride, padded). A block is a
# list of branches; a branch is a list of steps: a convolution, "average" or "max",
# or a tuple of convolutions that all read the branch so far and are concatenated.
POOLINGS = ("counted", "uncounted", "fid")
_1X1, _3X3, _5X5, _1X7, _7X1 = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)
_STEM = [
    ("Conv2d_1a_3x3", 32, _3X3, 2, False),
    ("Conv2d_2a_3x3", 32, _3X3, 1, False),
    ("Conv2d_2b_3x3", 64, _3X3, 1, True),
    "max",
    ("Conv2d_3b_1x1", 80, _1X1, 1, False),
    ("Conv2d_4a_3x3", 192, _3X3, 1, False),
    "max",
]


def _same(name, features, size):
    return (name, features, size, 1, True)


def _block_a(pool):
    return [
        [_same("branch1x1", 64, _1X1)],
        [_same("branch5x5_1", 48, _1X1), _same("branch5x5_2", 64, _5X5)],
        [
            _same("branch3x3dbl_1", 64, _1X1),
            _same("branch3x3dbl_2", 96, _3X3),
            _same("branch3x3dbl_3", 96, _3X3),
        ],
        ["average", _same("branch_pool", pool, _1X1)],
    ]


def _block_b():
    return [
        [("branch3x3", 384, _3X3, 2, False)],
        [
            _same("branch3x3dbl_1", 64, _1X1),
            _same("branch3x3dbl_2", 96, _3X3),
            ("branch3x3dbl_3", 96, _3X3, 2, False),
        ],
        ["max"],
    ]


def _block_c(width):
    return [
        [_same("branch1x1", 192, _1X1)],
        [
            _same("branch7x7_1", width, _1X1),
            _same("branch7x7_2", width, _1X7),
            _same("branch7x7_3", 192, _7X1),
        ],
        [
            _same("branch7x7dbl_1", width, _1X1),
            _same("branch7x7dbl_2", width, _7X1),
            _same("branch7x7dbl_3", width, _1X7),
            _same("branch7x7dbl_4", width, _7X1),
            _same("branch7x7dbl_5", 192, _1X7),
        ],
        ["average", _same("branch_pool", 192, _1X1)],
    ]


def _block_d():
    return [
        [_same("branch3x3_1", 192, _1X1), ("branch3x3_2", 320, _3X3, 2, False)],
        [
            _same("branch7x7x3_1", 192, _1X1),
            _same("branch7x7x3_2", 192, _1X7),
            _same("branch7x7x3_3", 192, _7X1),
            ("branch7x7x3_4", 192, _3X3, 2, False),
        ],
        ["max"],
    ]


def _block_e():
    def fork(name):
        return (_same(f"{name}a", 384, (1, 3)), _same(f"{name}b", 384, (3, 1)))

    return [
        [_same("branch1x1", 320, _1X1)],
        [_same("branch3x3_1", 384, _1X1), fork("branch3x3_2")],
        [
            _same("branch3x3dbl_1", 448, _1X1),
            _same("branch3x3dbl_2", 384, _3X3),
            fork("branch3x3dbl_3"),
        ],
        ["average", _same("branch_pool", 192, _1X1)],
    ]


def _blocks():
    """Name -> branches of every mixed block, in order."""
    return {
        "Mixed_5b": _block_a(32),
        "Mixed_5c": _block_a(64),
        "Mixed_5d": _block_a(64),
        "Mixed_6a": _block_b(),
        "Mixed_6b": _block_c(128),
        "Mixed_6c": _block_c(160),
        "Mixed_6d": _block_c(160),
        "Mixed_6e": _block_c(192),
        "Mixed_7a": _block_d(),
        "Mixed_7b": _block_e(),
        "Mixed_7c": _block_e(),
    }


def convolution_paths():
    """Module paths of all convolution units, such as ("Mixed_5b", "branch1x1")."""

    def names(steps):
        for step in steps:
            if isinstance(step[0], tuple):
                yield from names(step)
            elif not isinstance(step, str):
                yield step[0]

    paths = [(name,) for name in names(_STEM)]
    for block, branches in _blocks().items():
        paths += [(block, name) for branch in branches for name in names(branch)]
    return paths


class _ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU."""

    features: int
    size: tuple[int, int]
    stride: int
    padded: bool
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        padding = [(side // 2 if self.padded else 0,) * 2 for side in self.size]
        x = nn.Conv(
            self.features,
            self.size,
            self.stride,
            padding=padding,
            use_bias=False,
            name="conv",
            **kinds,
        )(x)
        return nn.relu(
            layers.BatchNorm(epsilon=1e-3, name="bn", **kinds)(x, train=train)
        )


def pooled(x, pooling):
    """The pool of a branch: 3x3, stride 1, same size."""
    border = ((1, 1), (1, 1))
    if pooling == "max":
        return nn.max_pool(x, (3, 3), (1, 1), border)
    counted = pooling == "counted"
    return nn.avg_pool(x, (3, 3), (1, 1), border, count_include_pad=counted)


def _run(x, steps, unit, pooling, *, train: bool):
    """Applies a branch's steps; `unit` makes the module of a convolution."""
    for step in steps:
        if step == "max":
            x = nn.max_pool(x, (3, 3), (2, 2))
        elif step == "average":
            x = pooled(x, pooling)
        elif isinstance(step[0], tuple):
            x = jnp.concatenate([unit(fork)(x, train=train) for fork in step], -1)
        else:
            x = unit(step)(x, train=train)
    return x


class _Mixed(nn.Module):
    """Branches that read the same map, concatenated along the channels."""

    branches: Any
    pooling: str = "counted"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        def unit(step):
            name, *sizes = step
            return _ConvUnit(
                *sizes, dtype=self.dtype, param_dtype=self.param_dtype, name=name
            )

        outputs = [
            _run(x, branch, unit, self.pooling, train=train) for branch in self.branches
        ]
        return jnp.concatenate(outputs, axis=-1)


class InceptionV3(nn.Module):
    """Inception-v3 without its classifiers.

    Attributes:
      remat: policy of `layers.remat` for the mixed blocks.
      pooling: how the blocks' average pools treat the border: its zeros count
        ("counted", torchvision) or not ("uncounted", TensorFlow); "fid" is "uncounted"
        with a maximum in the last block, as the graph of 2015 that FID is defined by.
    """

    remat: str = "none"
    pooling: str = "counted"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Features of images.

        Args:
          images: [B, 299, 299, 3] in [-1, 1].
          train: use and update the batch statistics.

        Returns:
          The map after Mixed_6e [B, 17, 17, 768] and the mean over positions of
          the last map [B, 2048].
        """
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling = {self.pooling!r}: one of {POOLINGS}")
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        inner = "uncounted" if self.pooling == "fid" else self.pooling

        def unit(step):
            name, *sizes = step
            return _ConvUnit(*sizes, name=name, **kinds)

        x = _run(images, _STEM, unit, inner, train=train)
        for name, branches in _blocks().items():
            last = self.pooling == "fid" and name == "Mixed_7c"
            block = _Mixed(branches, "max" if last else inner, name=name, **kinds)
            x = layers.remat(block, self.remat)(x, train=train)
            x = constraints.shard_maps(x)
            if name == "Mixed_6e":
                regions = x
        return regions, x.mean((1, 2))


class InceptionClassifier(nn.Module):
    """Inception-v3 with its classifier, for inference.

    Attributes:
      num_classes: C.
      pooling: see `InceptionV3`.
    """

    num_classes: int = 1000
    pooling: str = "counted"

    @nn.compact
    def __call__(self, images):
        """[B, 299, 299, 3] in [-1, 1] -> pooled features [B, 2048], logits [B, C]."""
        trunk = InceptionV3(pooling=self.pooling, name="trunk")
        pooled = trunk(images, train=False)[1]
        return pooled, nn.Dense(self.num_classes, name="fc")(pooled)
