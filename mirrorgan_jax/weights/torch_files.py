"""The two containers of `torch.save`: a zip since 1.6, five pickles in a row before.

Both hold one pickle of descriptions and the bytes of every storage beside it. The zip
must be one that PyTorch writes, nothing in it compressed: what is read is never larger
than the file.
"""

import io
import zipfile

import numpy as np

from mirrorgan_jax.data.sources import archives, pickle_machine, pickles
from mirrorgan_jax.weights import torch_parts

ZIP = b"PK\x03\x04"
# A number that PyTorch chose, as a pickle of its own.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_VERSION = 1001
_MEMBERS = 100_000
# Tensors may share a storage, as tied weights do; not many times over.
_SHARED = 4
# What reading a damaged zip raises.
_DAMAGED = (*archives.DAMAGED, OSError, RuntimeError, OverflowError)


def read(data: bytes) -> object:
    """The value in a file of `torch.save`, its tensors as arrays.

    Args:
      data: the file's bytes, which begin with `ZIP` or `LEGACY`.

    Returns:
      Python's own lists, tuples, dicts, texts and numbers, and read-only arrays; bf16
      as float32.

    Raises:
      ValueError: it holds anything else, is damaged or cut off.
    """
    value, storages = _read_zip(data) if data.startswith(ZIP) else _read_legacy(data)
    made = _Arrays(storages, _SHARED * len(data) + 2**20)
    return made.of(value)


class _Arrays:
    """Puts arrays in place of tensors, within a limit of bytes for all of them."""

    def __init__(self, storages, limit):
        self._storages, self._left = storages, limit

    def of(self, value):
        if isinstance(value, torch_parts.Tensor):
            return self._array(value)
        if isinstance(value, dict):
            return {key: self.of(held) for key, held in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.of(held) for held in value)
        return value

    def _array(self, tensor):
        key = tensor.storage.key if tensor.storage else None
        found = torch_parts.array(tensor, self._storages.get(key, b""))
        self._left -= found.size * found.itemsize
        if self._left < 0:
            raise ValueError("its tensors share their bytes too many times over")
        return found


def _pickled(data, at, parts):
    """(value, where what follows begins) of a pickle at an offset."""
    machine = pickle_machine.Machine(data, at, parts)
    try:
        return pickles.walk(machine), machine.at
    except ValueError as error:
        raise ValueError(f"byte {machine.start} of its pickle: {error}") from None


def _read_zip(data):
    """(value with `Tensor`s, {key: bytes}) of a zip."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except (ValueError, *_DAMAGED) as error:
        raise ValueError(f"a zip that is cut off or damaged ({error})") from None
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError(
            "TorchScript, a program; only what torch.save(network.state_dict(), FILE)"
            " writes is read"
        )
    top = _top(members)
    names = {member.filename.removeprefix(top) for member in members}
    if "data.pkl" not in names:
        raise ValueError("a zip, but not of torch.save: it has no data.pkl")

    def member(name):
        try:
            return archive.read(top + name)
        except KeyError:
            raise ValueError(f"{name} is missing from the zip") from None
        except _DAMAGED as error:
            raise ValueError(f"{name} in the zip is damaged ({error})") from None

    if "byteorder" in names and member("byteorder").strip() != b"little":
        raise ValueError("its numbers are in the order of big-endian machines")
    described = member("data.pkl")
    if len(described) > pickle_machine.MAX_BYTES:
        raise ValueError("data.pkl is larger than descriptions may be")
    parts = torch_parts.Parts()
    value, _ = _pickled(described, 0, parts)
    return value, {key: member(f"data/{key}") for key in parts.storages}


def _top(members):
    """The one folder around all members of a zip, with its slash."""
    if len(members) > _MEMBERS:
        raise ValueError(f"a zip of more than {_MEMBERS:,} files")
    names = [member.filename for member in members]
    tops = {name.partition("/")[0] for name in names}
    strange = [
        name
        for name in names
        if ".." in name.split("/") or "\\" in name or name.startswith("/")
    ]
    if len(tops) != 1 or strange or len({*names}) != len(names):
        raise ValueError(
            "a zip, but not of torch.save: names that are strange, that stand twice or"
            " not in one folder"
        )
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError(
                "a zip whose files are compressed or encrypted, which torch.save never"
                " does: take the file as it was saved"
            )
    return f"{tops.pop()}/"


def _read_legacy(data):
    """(value with `Tensor`s, {key: bytes}) of the format before PyTorch 1.6."""
    plain = torch_parts.Parts()
    version, at = _pickled(data, len(LEGACY), plain)
    if version != _LEGACY_VERSION:
        raise ValueError(f"version {version} of PyTorch's format before 1.6 is unknown")
    written_on, at = _pickled(data, at, plain)
    if not isinstance(written_on, dict) or not written_on.get("little_endian"):
        raise ValueError("its numbers are in the order of big-endian machines")
    parts = torch_parts.Parts()
    value, at = _pickled(data, at, parts)
    keys, at = _pickled(data, at, plain)
    if not isinstance(keys, list) or {*keys} != {*parts.storages}:
        raise ValueError("its list of storages is not that of its tensors")
    found, view = {}, memoryview(data)
    for key in keys:
        storage = parts.storages[key]
        size = storage.count * storage.dtype.itemsize
        if at + 8 + size > len(data):
            raise ValueError(
                f"cut off: {at + 8 + size:,} bytes are needed, {len(data):,} are there"
            )
        if int(np.frombuffer(data, "<i8", 1, at)[0]) != storage.count:
            raise ValueError(f"storage {key} has another size than its tensors say")
        found[key], at = view[at + 8 : at + 8 + size], at + 8 + size
    return value, found
