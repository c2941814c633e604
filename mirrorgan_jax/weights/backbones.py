"""ImageNet backbones from files of torchvision's or timm's weights (section 4.1)."""

import functools

import jax.numpy as jnp
from etils import epath

from mirrorgan_jax.models import inception
from mirrorgan_jax.models import resnet as resnet_models
from mirrorgan_jax.weights import files, fit, names, networks

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
# Classes of those classifiers that have a number of their own.
_CLASSES = {"inception_v3": 1000, "inception_fid": 1008}


def _read(path, network, heads=_HEADS):
    """`files.Weights` without the tensors of `heads`."""
    try:
        found = files.read(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: it must hold the weights of {network}, from"
            f" {SOURCES[network]}, as {files.READ}"
        ) from None
    kept = {k: v for k, v in found.tensors.items() if not k.startswith(heads)}
    return found._replace(tensors=kept)


def _fitted(found, network, init, modules, image_size):
    """Tree of a file's tensors, checked against what `init(key, images)` makes."""
    images = jnp.zeros((1, image_size, image_size, 3))
    shapes = fit.expected(lambda key: init(key, images), modules)
    try:
        return fit.fit(found.tensors, modules, shapes, network)
    except ValueError as error:
        raise ValueError(
            f"{found.path}: {networks.named(found.tensors)}{error}"
        ) from None


def resnet152(path):
    """Trunk variables of ResNet-152 from a file of weights.

    Args:
      path: file of torchvision's or timm's tensors (`files.read`);
        classifiers are ignored.

    Returns:
      {"params": ..., "batch_stats": ...} of `models.resnet.resnet152`.

    Raises:
      FileNotFoundError: no such file; the message says what it must hold.
      ValueError: another kind of file, or a tensor is missing, unknown or of
        another shape.
    """
    trunk = resnet_models.resnet152()
    found = _read(path, "resnet152")
    init = functools.partial(trunk.init, train=False)
    return _fitted(found, "resnet152", init, names.resnet(trunk.stage_sizes), 224)


def inception_v3(path):
    """Trunk variables of Inception-v3 from a file of weights.

    Args:
      path: file of torchvision's or timm's tensors (`files.read`);
        classifiers, the auxiliary one too, are ignored.

    Returns:
      {"params": ..., "batch_stats": ...} of `models.inception.InceptionV3`.

    Raises:
      FileNotFoundError: no such file; the message says what it must hold.
      ValueError: another kind of file, or a tensor is missing, unknown or of
        another shape.
    """
    trunk = inception.InceptionV3()
    found = _read(path, "inception_v3")
    init = functools.partial(trunk.init, train=False)
    return _fitted(found, "inception_v3", init, names.inception_v3(), 299)


def inception_classifier(path, kind):
    """Inception-v3 with its classifier from a file of weights.

    Args:
      path: file of tensors with torchvision's names (`files.read`); the
        auxiliary classifier is ignored.
      kind: "inception_v3" (torchvision's ImageNet network), "inception_fid" (the graph
        that FID is defined by) or "inception_cub" (StackGAN's).

    Returns:
      The module and its variables.

    Raises:
      FileNotFoundError, ValueError: as `inception_v3`.
    """
    found = _read(path, kind, heads=("AuxLogits.",))
    if "fc.weight" not in found.tensors:
        known = networks.named(found.tensors)
        raise ValueError(
            f"{path}: {known}no tensor fc.weight, the classifier of {kind}"
        )
    classes = len(found.tensors["fc.weight"])
    others = {count: name for name, count in _CLASSES.items() if name != kind}
    if classes in others:
        raise ValueError(
            f"{path}: a classifier of {classes} classes is {others[classes]}, not"
            f" {kind}, which is {SOURCES[kind]}"
        )
    pooling = {"inception_fid": "fid", "inception_cub": "uncounted"}.get(
        kind, "counted"
    )
    module = inception.InceptionClassifier(classes, pooling)
    modules = {**names.inception_v3(("trunk",)), "fc": ("fc",)}
    return module, _fitted(found, kind, module.init, modules, 299)


# ImageNet trunks by stage: key of `config.weights`, title, reader.
TRUNKS = {
    "stem": ("inception_v3", "Inception-v3", inception_v3),
    "stream": ("resnet152", "ResNet-152", resnet152),
}


def missing(config, stage) -> str | None:
    """What is wrong with the pretrained backbone of a stage, or None.

    A stage whose trunk is an ImageNet network needs the file of its weights, or the
    explicit switch `weights.random`.
    """
    name, title, _ = TRUNKS[stage]
    if config[stage].encoder != name:
        return None
    path = config.weights[name]
    if path and epath.Path(path).expanduser().exists():
        return None
    if not path and config.weights.random:
        return None
    wrong = f"= {path!r} does not exist" if path else "is empty"
    return (
        f"config.weights.{name} {wrong}: stage {stage} needs {title} trained on"
        f" ImageNet as a .safetensors or .pth file, either the model {name}.tv_in1k of"
        f" timm or torchvision's {name} (IMAGENET1K_V1); with"
        " --config.weights.random=True and no file the stage goes on with a random one"
    )
