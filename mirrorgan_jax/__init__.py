"""MirrorGAN (CVPR 2019) in JAX: text-to-image generation by redescription.

`from_pretrained(name)` opens a model, `load(workdir)` a trained run, both as a `Model`;
`base_config(preset)` is the configuration that everything starts from.
"""

import importlib

__version__ = "0.2.0"

# What is imported when it is asked for: name, module, name there.
_LAZY = {
    "from_pretrained": ("inference.model", "Model.from_pretrained"),
    "load": ("inference.model", "Model.load"),
    "Model": ("inference.model", "Model"),
    "base_config": ("settings.base", "base_config"),
}
__all__ = list(_LAZY)


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, path = _LAZY[name]
    found = importlib.import_module(f"{__name__}.{module}")
    for part in path.split("."):
        found = getattr(found, part)
    return found


def __dir__():
    return [*globals(), *_LAZY]
