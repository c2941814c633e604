"""StackGAN's Inception-v3 with torchvision's names.

The network for CUB behind the published Inception Scores (paper 4.1.2) is a checkpoint
of TensorFlow 1, made with the first slim library: scopes such as `mixed_35x35x256a`,
and convolutions numbered within their branch. Where it holds moving averages of the
weights, these are taken.
"""

import re

import numpy as np

from mirrorgan_jax.models import inception

_AVERAGE = "/ExponentialMovingAverage"
# {torchvision's name: slim's scope} of what comes before the blocks, and of these.
_SCOPES = {
    "Conv2d_1a_3x3": "conv0",
    "Conv2d_2a_3x3": "conv1",
    "Conv2d_2b_3x3": "conv2",
    "Conv2d_3b_1x1": "conv3",
    "Conv2d_4a_3x3": "conv4",
    "Mixed_5b": "mixed_35x35x256a",
    "Mixed_5c": "mixed_35x35x288a",
    "Mixed_5d": "mixed_35x35x288b",
    "Mixed_6a": "mixed_17x17x768a",
    "Mixed_6b": "mixed_17x17x768b",
    "Mixed_6c": "mixed_17x17x768c",
    "Mixed_6d": "mixed_17x17x768d",
    "Mixed_6e": "mixed_17x17x768e",
    "Mixed_7a": "mixed_17x17x1280a",
    "Mixed_7b": "mixed_8x8x2048a",
    "Mixed_7c": "mixed_8x8x2048b",
}


def scopes():
    """{torchvision's name of a convolution unit: slim's scope}."""
    found, used = {}, {}
    for path in inception.convolution_paths():
        scope = _SCOPES[path[0]]
        if len(path) > 1:
            # branch3x3dbl_3a is the third of its branch: the numbers follow the order.
            branch = f"{scope}/{re.sub(r'_[0-9]+[ab]?$', '', path[1])}"
            number = used[branch] = used.get(branch, -1) + 1
            scope = f"{branch}/Conv_{number}" if number else f"{branch}/Conv"
        found[".".join(path)] = scope
    return found


def state_dict(read, names):
    """The network with torchvision's names and layouts.

    Args:
      read: `read(name) -> array` of a variable.
      names: those that the checkpoint has.

    Returns:
      {name: float32 array}; batch norms, which have no scale there, get ones.

    Raises:
      ValueError: a variable is missing.
    """
    names = set(names)

    def array(name):
        chosen = next((n for n in (name + _AVERAGE, name) if n in names), None)
        if chosen is None:
            raise ValueError(f"the checkpoint has no variable {name}")
        return np.asarray(read(chosen), np.float32)

    tensors = {}
    for ours, scope in scopes().items():
        bias = array(f"{scope}/BatchNorm/beta")
        tensors |= {
            f"{ours}.conv.weight": array(f"{scope}/weights").transpose(3, 2, 0, 1),
            f"{ours}.bn.weight": np.ones_like(bias),
            f"{ours}.bn.bias": bias,
            f"{ours}.bn.running_mean": array(f"{scope}/BatchNorm/moving_mean"),
            f"{ours}.bn.running_var": array(f"{scope}/BatchNorm/moving_variance"),
        }
    tensors["fc.weight"] = array("logits/logits/weights").T
    tensors["fc.bias"] = array("logits/logits/biases")
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}
