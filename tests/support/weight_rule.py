"""Deterministic full-size weights from a tensor's name: the fixtures' weight rule.

The full-size fixtures store no weights. Each tensor is a hash of its name, scaled
so that activations keep their size; `09a_state_dict_tables.json` lists the names.
"""

import json
import zlib

import numpy as np
from support import parity

_EMBEDDINGS = ("encoder.weight", "embed.weight")


def uniform(key, shape):
    """float64 values in [-1, 1), a pure function of `key` and the flat index."""
    count = int(np.prod(shape, dtype=np.int64))
    state = np.arange(count, dtype=np.uint32) * np.uint32(2654435761)
    state += np.uint32(zlib.crc32(key.encode()))
    for shift, factor in ((16, 2246822507), (13, 3266489909), (16, None)):
        state ^= state >> np.uint32(shift)
        if factor is not None:
            state *= np.uint32(factor)
    return (state / 2.0**31 - 1.0).reshape(shape)


def inputs(salt, name, shape, scale=1.0):
    """float32 network input `name`."""
    return (scale * uniform(f"{salt}/input/{name}", shape)).astype(np.float32)


def table(name):
    """{tensor name: shape} of a network of 09a, without the batch counters."""
    tables = json.loads(parity.path("09a_state_dict_tables.json").read_text())
    return {
        key: tuple(shape)
        for key, (shape, _) in tables[name].items()
        if not key.endswith("num_batches_tracked")
    }


def _scale_offset(name, shape, gain, is_norm, small_norms):
    """(factor, offset, absolute value) that turn the hash into a tensor."""
    leaf = name.rpartition(".")[2]
    if is_norm and leaf == "weight":
        size = 0.2 if name.endswith(tuple(small_norms)) else 1.0
        return 0.1 * size, size, False
    if is_norm and leaf == "running_var":
        return 0.1, 1.0, True
    if is_norm or len(shape) == 1:
        return 0.1, 0.0, False
    if name in _EMBEDDINGS:
        return 1.0, 0.0, False
    return gain * np.sqrt(3.0 / np.prod(shape[1:])), 0.0, False


def weights(salt, shapes, gain, *, small_norms=()):
    """float32 tensors of a network.

    Args:
      salt: string that starts every hash key.
      shapes: {name: shape}, see `table`.
      gain: a number, or a function from a tensor's name to one.
      small_norms: endings of batch-norm weights that are a fifth of the others.
    """
    norms = {n.rpartition(".")[0] for n in shapes if n.endswith(".running_mean")}
    tensors = {}
    for name, shape in shapes.items():
        factor, offset, absolute = _scale_offset(
            name,
            shape,
            gain(name) if callable(gain) else gain,
            name.rpartition(".")[0] in norms,
            small_norms,
        )
        values = uniform(f"{salt}/{name}", shape)
        values = np.abs(values) if absolute else values
        tensors[name] = (offset + factor * values).astype(np.float32)
    return tensors
