"""Helpers of the tests that compare networks with the authors' code."""

import functools

import jax
import numpy as np
from support import torch_file

from mirrorgan_jax.weights import files, names


def nchw(x):
    """NHWC -> NCHW as in the fixtures."""
    return np.asarray(x).transpose(0, 3, 1, 2)


def imported(folder, tensors, modules):
    """The tree of PyTorch tensors after their way through a file of `torch.save`."""
    found = files.read(torch_file.write(folder / "weights.pth", tensors)).tensors
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value)
    return names.to_tree(found, modules)


def run(module, variables, *args, method=None, **kwargs):
    """Jitted apply; train mode also returns the new batch statistics."""
    mutable = ["batch_stats"] if kwargs.get("train") else False
    apply = functools.partial(module.apply, method=method, mutable=mutable, **kwargs)
    return jax.jit(apply)(variables, *args)


def assert_statistics(fixture, state, modules, prefix):
    """Asserts that the batch statistics equal all arrays under `prefix`."""
    tensors = names.to_state_dict({"batch_stats": state["batch_stats"]}, modules)
    expected = {k for k in fixture.arrays if k.startswith(prefix)}
    assert {prefix + k for k in tensors} == expected
    for name, value in tensors.items():
        fixture.assert_close(value, prefix + name)


def assert_generator(fixture, module, variables, inputs, views, modules):
    """Eval and train passes; `views`: {array name: function of the output}."""
    for mode in ("eval", "train"):
        out = run(module, variables, *inputs, train=mode == "train")
        if mode == "train":
            out, state = out
            assert_statistics(fixture, state, modules, "out/train_state/")
        for key, view in views.items():
            name = f"out/{mode}_{key}"
            if name in fixture.arrays:
                fixture.assert_close(view(out), name)
        fixture.assert_close(out.mu, "out/mu")
        fixture.assert_close(out.logvar, "out/logvar")


def generator_views(strides):
    """{array suffix: function of a GeneratorOutput} at strides of NCHW arrays."""

    def view(field, i, stride):
        return lambda out: nchw(getattr(out, field)[i])[:, :, ::stride, ::stride]

    return {key: view(*place) for key, place in strides.items()}
