"""Gradient accumulation: a batch in parts that follow one another.

A part is every `parts`-th row of the batch. On a mesh each device then finds its rows
of every part among those it holds, so that nothing is sent; and the parts do not
depend on the number of devices.
"""

import jax
import jax.numpy as jnp


def split(tree, parts):
    """[B, ...] leaves -> [parts, B / parts, ...]; part a: rows a, a + parts, ..."""
    return jax.tree.map(
        lambda x: jnp.swapaxes(
            x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 0, 1
        ),
        tree,
    )


def join(tree):
    """The inverse of `split`."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), tree)


def caption_weights(length, parts, *, reduction):
    """Shares [parts] of the parts in the batch's caption loss; they sum to 1.

    Args:
      length: [B] words of the captions.
      parts: number of parts.
      reduction: "mean" over all words of the batch gives a part the share of its
        words, "sum" the share of its captions.
    """
    if reduction == "sum":
        return jnp.full(parts, 1 / parts)
    words = split(length, parts).sum(1).astype(jnp.float32)
    return words / words.sum()


def scan(function, carry, parts, weights):
    """Sum over the parts of what a function makes of each, one after another.

    Args:
      function: `function(carry, part) -> (carry, tree)`.
      carry: what goes from part to part, such as running statistics.
      parts: tree of [parts, ...] leaves.
      weights: [parts] weights of the sum.

    Returns:
      The last carry and the weighted sum of the trees.
    """

    def body(state, item):
        carry, total = state
        part, weight = item
        carry, tree = function(carry, part)
        total = jax.tree.map(lambda t, x: t + weight.astype(x.dtype) * x, total, tree)
        return (carry, total), None

    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(lambda: function(carry, first)[1])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    (carry, total), _ = jax.lax.scan(body, (carry, zeros), (parts, weights))
    return carry, total
