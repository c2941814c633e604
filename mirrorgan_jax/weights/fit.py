"""Tensors of a file in the tree of a network, each exactly once, or both lists."""

import jax
import numpy as np

from mirrorgan_jax.weights import names

_SHOWN = 8


def expected(init, modules):
    """{PyTorch's name: shape} of what a module's `init` makes.

    Args:
      init: `init(key)`, which is not run: only its shapes are asked for.
      modules: the network's map of `names`.
    """
    tree = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
    # Of no size in memory, and they can be transposed.
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), tree)
    return {k: v.shape for k, v in names.to_state_dict(empty, modules).items()}


def fit(tensors, modules, shapes, title):
    """The tree of a network's tensors.

    Args:
      tensors: {PyTorch's name: array}; counters of batches are left out.
      modules: the network's map of `names`.
      shapes: {PyTorch's name: shape} that it needs, of `expected`.
      title: what the network is called.

    Returns:
      {"params", "batch_stats"} of float32 arrays.

    Raises:
      ValueError: names that are missing, that have no place, and shapes that differ.
    """
    tensors = {
        name: value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    missing = [name for name in shapes if name not in tensors]
    unknown = [name for name in tensors if name not in shapes]
    different = [
        f"{name} {tensors[name].shape}, not {shape}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if missing or unknown or different:
        raise ValueError(
            f"these tensors are not those of {title}: missing are {_listed(missing)};"
            f" no place has {_listed(unknown)}; of another shape are"
            f" {_listed(different)}"
        )
    wrong = [name for name, value in tensors.items() if value.dtype != np.float32]
    if wrong:
        raise ValueError(f"these tensors are no floats: {_listed(wrong)}")
    tree = names.to_tree(tensors, modules)
    return jax.tree.map(np.ascontiguousarray, tree)


def _listed(found):
    more = f", ... ({len(found)})" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more if found else "none"
