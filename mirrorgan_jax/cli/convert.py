"""Converts StackGAN's Inception-v3 for CUB, the network of the published Inception
Scores, from a TensorFlow 1 checkpoint to .safetensors.

  mirrorgan convert CHECKPOINT OUT.safetensors
  mirrorgan convert inception/model.ckpt-5000 inception_cub.safetensors

CHECKPOINT is its path without .index. The result is taken by
  mirrorgan evaluate --workdir=runs/cub --config=cub \\
      --config.eval.inception_cub=OUT.safetensors
"""

import sys

from absl import flags
from etils import epath

from mirrorgan_jax.cli import common


def convert(checkpoint: str, out: str) -> None:
    """Converts a checkpoint (its path without `.index`) to a `.safetensors` file.

    Raises:
      ValueError: no checkpoint of that network, or `out` has another ending.
    """
    if epath.Path(out).suffix != ".safetensors":
        raise ValueError(f"{out}: the file must end in .safetensors")
    from safetensors import numpy as safetensors

    from mirrorgan_jax.data import tf_checkpoint
    from mirrorgan_jax.weights import slim
    from mirrorgan_jax.workdir import files

    tensors = slim.state_dict(*tf_checkpoint.variables(checkpoint))
    files.write_bytes(out, safetensors.save(tensors))


def main(values: flags.FlagValues, checkpoint: str, out: str) -> None:
    """Does what the arguments ask for."""
    del values
    convert(checkpoint, out)
    print(f"written: {out}")


def cli(argv=None):
    """The command; returns its exit status."""
    arguments = ("CHECKPOINT", "OUT.safetensors")
    return common.run(main, __doc__, lambda values: None, argv, arguments=arguments)


if __name__ == "__main__":
    sys.exit(cli())
