"""Checkpoints of TensorFlow, read by name."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def variables(path: str) -> tuple[Callable[[str], np.ndarray], list[str]]:
    """(function that reads a variable, names of all) of a checkpoint.

    Args:
      path: of the checkpoint, without `.index`.

    Raises:
      ValueError: there is none.
    """
    try:
        reader = tf.train.load_checkpoint(str(path))
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"{path}: no TensorFlow checkpoint ({error})") from None
    return reader.get_tensor, list(reader.get_variable_to_shape_map())
