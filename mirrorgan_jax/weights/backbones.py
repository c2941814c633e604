"""ImageNet backbones from files of torchvision's or timm's weights (section 4.1)."""

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from mirrorgan_jax.models import inception
from mirrorgan_jax.models import resnet as resnet_models
from mirrorgan_jax.weights import names

# Classifiers, which the trunks do not have. The names of the rest are the same in
# torchvision's and timm's files.
_HEADS = ("AuxLogits.", "fc.")
_SOURCES = {
    "resnet152": "torchvision's resnet152 or timm's resnet152.tv_in1k",
    "inception_v3": "torchvision's inception_v3 or timm's inception_v3.tv_in1k",
}


def _read(path, network):
    """Tensors of a `.safetensors` file, without the classifiers, as float32."""
    path = epath.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are read from .safetensors files only")
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: the ImageNet weights of {network}, saved as .safetensors from"
            f" {_SOURCES[network]}"
        )
    from safetensors import numpy as safetensors

    tensors = safetensors.load(path.read_bytes())
    return {
        name: value.astype(np.float32)
        for name, value in tensors.items()
        if not name.startswith(_HEADS) and not name.endswith("num_batches_tracked")
    }


def _flat(tree):
    return {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def _load(path, network, trunk, modules, image_size):
    """Tree of a file, checked leaf by leaf against what `trunk` expects."""
    tree = names.to_tree(_read(path, network), modules)
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    expected = _flat(
        jax.eval_shape(lambda k, x: trunk.init(k, x, train=False), key, images)
    )
    found = _flat(tree)
    missing = sorted(set(expected) - set(found))
    if missing:
        raise ValueError(f"{path}: no tensor for {missing[:8]} ({len(missing)})")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(
                f"{path}: {name} has shape {found[name]}, {network} needs {shape}"
            )
    return tree


def resnet152(path):
    """Trunk variables of ResNet-152 from a `.safetensors` file.

    Args:
      path: file of torchvision's or timm's tensors; classifiers are ignored.

    Returns:
      {"params": ..., "batch_stats": ...} of `models.resnet.resnet152`.

    Raises:
      FileNotFoundError: no such file; the message says what it must hold.
      ValueError: another kind of file, or a tensor is missing, unknown or of
        another shape.
    """
    trunk = resnet_models.resnet152()
    return _load(path, "resnet152", trunk, names.resnet(trunk.stage_sizes), 224)


def inception_v3(path):
    """Trunk variables of Inception-v3 from a `.safetensors` file.

    Args:
      path: file of torchvision's or timm's tensors; classifiers, the auxiliary
        one too, are ignored.

    Returns:
      {"params": ..., "batch_stats": ...} of `models.inception.InceptionV3`.

    Raises:
      FileNotFoundError: no such file; the message says what it must hold.
      ValueError: another kind of file, or a tensor is missing, unknown or of
        another shape.
    """
    trunk = inception.InceptionV3()
    return _load(path, "inception_v3", trunk, names.inception_v3(), 299)
