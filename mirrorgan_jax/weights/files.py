"""Files of weights, whatever wrote them, as arrays by name.

`.safetensors`, and what `torch.save` writes of a state dict (`.pth`, `.pt`, `.pth.tar`,
`.bin`), of PyTorch 0.1 to now, without PyTorch: the content says what a file is, not
its name. Nothing in a file is executed.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from etils import epath

from mirrorgan_jax.data.sources import files as sources
from mirrorgan_jax.weights import torch_files

READ = ".safetensors, or what torch.save(network.state_dict(), FILE) writes"
_MAX_BYTES = 8 * 2**30
# Where people put a state dict beside other things.
_WRAPPERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "netG", "netD",
    "params_ema", "params",
)  # fmt: skip
_PARALLEL = "module."
# safetensors' word for a type: NumPy's. bfloat16 is the upper half of a float32.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


class Weights(NamedTuple):
    """What a file holds.

    Attributes:
      path: of the file.
      sha256: of its bytes, 64 hexadecimal digits.
      tensors: {name: array}; all floats are float32.
      notes: sentences on what was unwrapped, left out or rounded.
    """

    path: str
    sha256: str
    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...]


def read(path) -> Weights:
    """The weights in a file.

    Args:
      path: of the file, local or in a bucket.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is something else, damaged, cut off or larger than 8 GiB; one
        sentence, with the file's name.
    """
    place = epath.Path(path).expanduser()
    if not place.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if place.is_dir():
        raise ValueError(f"{path}: a folder; give the file of weights, {READ}")
    if place.stat().length > _MAX_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_BYTES / 2**30:.0f} GiB")
    data = place.read_bytes()
    try:
        value = _value(data)
        found, notes = _state_dict(value)
        tensors = {name: _as_float32(array, name) for name, array in found.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if any(array.dtype == np.float64 for array in found.values()):
        notes.append("numbers of 64 bits were rounded to 32")
    digest = hashlib.sha256(data).hexdigest()
    return Weights(str(path), digest, tensors, tuple(notes))


def sha256(path) -> str:
    """Hash of a file's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(epath.Path(path).expanduser().read_bytes()).hexdigest()


def _value(data):
    """What the bytes of a file hold: a dictionary, or whatever else was saved."""
    if data.startswith((torch_files.ZIP, torch_files.LEGACY)):
        return torch_files.read(data)
    if data[8:9] == b"{":
        return _safetensors(data)
    kind = sources.kind_of(data[:512])
    if not kind:
        kind = ", but something else or cut off"
        if data[257:262] == b"ustar":
            kind = ", but a tar, as PyTorch 0.1 wrote: save it again with a later one"
        elif data.startswith(b"\x80"):
            kind = ", but a pickle that torch.save did not write"
        elif data.startswith(b"\x89HDF"):
            kind = ", but HDF5, as Keras writes it"
    raise ValueError(f"no weights{kind}; needed is {READ}")


def _safetensors(data):
    import safetensors

    try:
        parts = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"no whole .safetensors file ({error}); fetch or convert it again"
        ) from None
    found = {}
    for name, part in parts:
        if part["dtype"] not in _DTYPES:
            raise ValueError(f"{name} has the type {part['dtype']}, which is not read")
        array = np.frombuffer(part["data"], _DTYPES[part["dtype"]])
        if part["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        found[name] = array.reshape(part["shape"])
    return found


def _state_dict(value):
    """({name: array}, notes) of what was saved, out of what is around it."""
    notes = []
    while isinstance(value, dict) and not _arrays(value):
        inside = [key for key in _WRAPPERS if isinstance(value.get(key), dict)]
        if len(inside) != 1:
            break
        notes.append(f"taken from its entry {inside[0]!r}")
        value = value[inside[0]]
    arrays = _arrays(value) if isinstance(value, dict) else {}
    if not arrays:
        kind = type(value).__name__
        if isinstance(value, dict):
            shown = ", ".join(ascii(key)[:40] for key in list(value)[:8])
            kind = f"a dictionary of {shown or 'nothing'}"
        raise ValueError(f"no tensors by name, but {kind}; needed is {READ}")
    others = [key for key in value if key not in arrays]
    if others:
        shown = ", ".join(ascii(key)[:40] for key in others[:8])
        notes.append(f"no tensors, left out: {shown}")
    if all(name.startswith(_PARALLEL) for name in arrays):
        notes.append("names without the module. of DataParallel")
        arrays = {name.removeprefix(_PARALLEL): v for name, v in arrays.items()}
    return arrays, notes


def _arrays(value):
    return {
        key: held
        for key, held in value.items()
        if isinstance(key, str) and isinstance(held, np.ndarray)
    }


def _as_float32(array, name):
    if array.dtype.kind != "f":
        return array
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)
