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
SOURCES = {
    "resnet152": "torchvision's resnet152 or timm's resnet152.tv_in1k",
    "inception_v3": "torchvision's inception_v3 or timm's inception_v3.tv_in1k",
    "inception_fid": "the ImageNet graph of 2015 with torchvision's names"
    " (pt_inception-2015-12-05 of pytorch-fid)",
    "inception_cub": "StackGAN's checkpoint for CUB after `mirrorgan convert`",
}


def _read(path, network, heads=_HEADS):
    """Tensors of a `.safetensors` file, without those of `heads`, as float32."""
    path = epath.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are read from .safetensors files only")
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: it must hold the weights of {network} as"
            f" .safetensors, from {SOURCES[network]}"
        )
    import safetensors
    from safetensors import numpy as safetensors_numpy

    try:
        tensors = safetensors_numpy.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path}: no whole .safetensors file ({error}); fetch or convert it again"
        ) from None
    return {
        name: value.astype(np.float32)
        for name, value in tensors.items()
        if not name.startswith(heads) and not name.endswith("num_batches_tracked")
    }


def _flat(tree):
    return {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def _load(path, network, trunk, modules, image_size):
    """Tree of a file, checked leaf by leaf against what `trunk` expects."""
    tree = names.to_tree(_read(path, network), modules)
    return _checked(
        tree, path, network, lambda k, x: trunk.init(k, x, train=False), image_size
    )


def _checked(tree, path, network, init, image_size):
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    expected = _flat(jax.eval_shape(init, key, images))
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


def inception_classifier(path, kind):
    """Inception-v3 with its classifier from a `.safetensors` file.

    Args:
      path: file of tensors with torchvision's names; the auxiliary classifier is
        ignored.
      kind: "inception_v3" (torchvision's ImageNet network), "inception_fid" (the graph
        that FID is defined by) or "inception_cub" (StackGAN's).

    Returns:
      The module and its variables.

    Raises:
      FileNotFoundError, ValueError: as `inception_v3`.
    """
    tensors = _read(path, kind, heads=("AuxLogits.",))
    if "fc.weight" not in tensors:
        raise ValueError(f"{path}: no tensor fc.weight, the classifier of {kind}")
    pooling = {"inception_fid": "fid", "inception_cub": "uncounted"}.get(
        kind, "counted"
    )
    module = inception.InceptionClassifier(len(tensors["fc.weight"]), pooling)
    modules = {**names.inception_v3(("trunk",)), "fc": ("fc",)}
    tree = names.to_tree(tensors, modules)
    return module, _checked(tree, path, kind, module.init, 299)
