"""Pretrained weights that a run of a configuration starts from."""

from etils import epath

from mirrorgan_jax.weights import backbones

# ImageNet trunks by stage: key of `config.weights`, title, reader.
_BACKBONES = {
    "stem": ("inception_v3", "Inception-v3", backbones.inception_v3),
    "stream": ("resnet152", "ResNet-152", backbones.resnet152),
}


def missing(config, stage):
    """What is wrong with the pretrained backbone of a stage, or None.

    A stage whose trunk is an ImageNet network needs the file of its weights, or
    the explicit switch `weights.random`.
    """
    if stage not in _BACKBONES:
        return None
    name, title, _ = _BACKBONES[stage]
    if config[stage].encoder != name:
        return None
    path = config.weights[name]
    if path and epath.Path(path).exists():
        return None
    if not path and config.weights.random:
        return None
    wrong = f"= {path!r} does not exist" if path else "is empty"
    return (
        f"config.weights.{name} {wrong}: stage {stage} needs {title} trained on"
        f" ImageNet as a .safetensors file, either the model {name}.tv_in1k of timm or"
        f" torchvision's {name} (IMAGENET1K_V1) saved with safetensors; with"
        " --config.weights.random=True and no file the stage goes on with a random one"
    )


def trunk(config, stage):
    """((params, batch_stats),) of a stage's pretrained trunk, () without one."""
    name, _, load = _BACKBONES[stage]
    path = config.weights[name]
    if config[stage].encoder != name or not path:
        return ()
    tree = load(path)
    return ((tree["params"], tree["batch_stats"]),)
