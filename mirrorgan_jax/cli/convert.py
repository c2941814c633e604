"""Converts weights: into .safetensors, and a run's back to PyTorch's names.

  mirrorgan convert netG.pth netG.safetensors
  mirrorgan convert resnet152.pth resnet152.safetensors
  mirrorgan convert inception/model.ckpt-5000 inception_cub.safetensors
  mirrorgan convert --workdir=runs/cub --out=DIR

IN is a file of PyTorch (.pth, .pt, of any version; PyTorch is not needed) or
.safetensors, or StackGAN's Inception-v3 for CUB, a checkpoint of TensorFlow 1 without
.index. Its names stay; what it is is said. With --workdir the networks of a run are
written as AttnGAN's and MirrorGAN's code loads them: netG (the moving average), netD0
and on, text_encoder, image_encoder, caption_cnn, caption_rnn, and vocabulary.txt, a
word a line by its number. docs/weights.md tells which keys take files.
"""

import sys

import numpy as np
from absl import flags
from etils import epath

from mirrorgan_jax.cli import common

_ARGUMENTS = ("IN", "OUT.safetensors")
# What is a file of weights by its name, also where it is not there.
_ENDINGS = (".safetensors", ".pth", ".pt", ".tar", ".bin")


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder of a run whose networks are written.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string("out", None, "Folder for them.", flag_values=values)
    flags.DEFINE_enum(
        "format", "safetensors", ["safetensors", "pth"],
        "Of the files of --workdir; pth needs PyTorch.", flag_values=values,
    )  # fmt: skip


def _from_tensorflow(checkpoint):
    from mirrorgan_jax.data import tf_checkpoint
    from mirrorgan_jax.weights import slim

    return slim.state_dict(*tf_checkpoint.variables(checkpoint))


def _from_file(path):
    from mirrorgan_jax.weights import files, networks

    found = files.read(path)
    try:
        known = networks.recognise(found.tensors).title
    except ValueError as error:
        known = str(error)
    numbers = networks.parameters(found.tensors)
    print(f"{path}: {known}; {len(found.tensors)} tensors, {numbers:,} numbers")
    for note in found.notes:
        print(f"{path}: {note}")
    return found.tensors


def convert(source: str, out: str) -> None:
    """Converts a file, or a checkpoint of TensorFlow, to a `.safetensors` file.

    Args:
      source: a file of PyTorch or `.safetensors`, or the path of a checkpoint of
        StackGAN's Inception without `.index`.
      out: the file to write.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is something else, or `out` has another ending.
    """
    if epath.Path(out).suffix != ".safetensors":
        raise ValueError(f"{out}: the file must end in .safetensors")
    path = epath.Path(source).expanduser()
    named = (
        path.suffix in _ENDINGS and not path.with_name(f"{path.name}.index").exists()
    )
    tensors = (
        _from_file(source) if named or path.is_file() else _from_tensorflow(source)
    )
    _write(epath.Path(out), tensors)


def _write(path, tensors):
    from safetensors import numpy as safetensors

    from mirrorgan_jax.workdir import files

    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    if path.suffix == ".safetensors":
        # What PyTorch's own loaders of .safetensors ask for.
        data = safetensors.save(whole, metadata={"format": "pt"})
    else:
        data = _pickled(whole)
    files.write_bytes(path, data)
    print(f"written: {path}")


def _pickled(tensors):
    """Bytes of what torch.save writes of tensors."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, buffer)
    return buffer.getvalue()


def export(workdir: str, out: str, ending: str) -> list[str]:
    """Writes a run's networks with PyTorch's names.

    Args:
      workdir: the run's folder.
      out: the folder for the files.
      ending: "safetensors" or "pth".

    Returns:
      Names of the networks that were written.

    Raises:
      FileNotFoundError: there is no such folder, or no checkpoint in it.
      ValueError: PyTorch is needed and absent.
    """
    import importlib.util

    import jax

    from mirrorgan_jax.parallel import mesh as meshes
    from mirrorgan_jax.settings import base as configs
    from mirrorgan_jax.weights import back
    from mirrorgan_jax.workdir import files, layout

    if ending == "pth" and importlib.util.find_spec("torch") is None:
        raise ValueError(
            "--format=pth needs PyTorch, which is not installed: pip install"
            ' "mirrorgan_jax[torch]", or take --format=safetensors'
        )
    folder, target = common.finished(workdir), epath.Path(out)
    stages = [name for name in configs.STAGES if layout.is_saved(folder, name)]
    if not stages:
        raise FileNotFoundError(layout.absent(folder, "stem"))
    config, words = layout.read_settings(folder, stages[-1])
    mesh, written = meshes.create_mesh(devices=jax.local_devices()[:1]), []
    for network in back.networks(config, folder, mesh):
        if network.tensors is None:
            print(f"not written: {network.name}: {network.reason}")
            continue
        _write(target / f"{network.name}.{ending}", network.tensors)
        written.append(network.name)
    files.write_text(target / "vocabulary.txt", "".join(f"{word}\n" for word in words))
    return written


def main(values: flags.FlagValues, *paths: str) -> None:
    """Does what the arguments ask for."""
    if values.workdir:
        if paths or not values.out:
            raise ValueError("--workdir goes with --out=DIR and no files")
        export(values.workdir, values.out, values.format)
        return
    if len(paths) != len(_ARGUMENTS) or values.out:
        raise ValueError(
            f"{len(paths)} arguments: allowed are {len(_ARGUMENTS)},"
            f" {' '.join(_ARGUMENTS)}, or --workdir=RUN --out=DIR alone"
        )
    convert(*paths)


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, arguments=("FILE",), more=True)


if __name__ == "__main__":
    sys.exit(cli())
