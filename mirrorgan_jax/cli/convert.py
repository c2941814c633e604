"""StackGAN's Inception-v3 for CUB, a TensorFlow 1 checkpoint, as `.safetensors`.

    python -m mirrorgan_jax.cli.convert CHECKPOINT OUT.safetensors

`config.eval.inception` takes the result as `inception_kind = "inception_cub"`.
"""

import sys

from etils import epath

from mirrorgan_jax.weights import slim
from mirrorgan_jax.workdir import files


def convert(checkpoint, out):
    """Converts a checkpoint (its path without `.index`) to a `.safetensors` file.

    Raises:
      ValueError: no checkpoint of that network, or `out` has another ending.
    """
    if epath.Path(out).suffix != ".safetensors":
        raise ValueError(f"{out}: the file must end in .safetensors")
    import tensorflow as tf
    from safetensors import numpy as safetensors

    try:
        reader = tf.train.load_checkpoint(str(checkpoint))
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"{checkpoint}: no TensorFlow checkpoint ({error})") from None
    tensors = slim.state_dict(reader.get_tensor, reader.get_variable_to_shape_map())
    files.write_bytes(out, safetensors.save(tensors))


def main(arguments):
    """The command; returns the exit status."""
    if len(arguments) != 2:
        command = "python -m mirrorgan_jax.cli.convert"
        print(f"usage: {command} CHECKPOINT OUT.safetensors", file=sys.stderr)
        return 2
    try:
        convert(*arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written: {arguments[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
