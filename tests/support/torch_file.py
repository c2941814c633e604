"""Files as `torch.save` writes them, made without PyTorch, and such as it never wrote.

`saved` takes nested dictionaries of arrays; a `Raw` puts opcodes of one's own there.
"""

import io
import struct
import zipfile

import numpy as np

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_WORDS = {
    "float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


class Raw(bytes):
    """Opcodes that make one value."""


class BFloat16:
    """An array that is written as bfloat16."""

    def __init__(self, array):
        self.array = (np.asarray(array, "f4").view(np.uint32) >> 16).astype(np.uint16)


def name(module, attribute):
    """Opcodes of a name."""
    return Raw(f"c{module}\n{attribute}\n".encode())


def call(module, attribute, *arguments):
    """Opcodes of a name called with values."""
    parts = b"".join(map(plain, arguments))
    return Raw(name(module, attribute) + b"(" + parts + b"tR")


def plain(value):
    """Opcodes of a value without tensors, protocol 2."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        size = max(value.bit_length() // 8 + 1, 1)
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(map(plain, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(plain, value)) + b"e"
    raise TypeError(value)


def storage(word, key, count, view=()):
    """Opcodes of a storage; `view` is what the old format has behind it."""
    inside = plain("storage") + name("torch", f"{word}Storage")
    return Raw(b"(" + inside + plain((key, "cuda:0", count, *view))[1:] + b"Q")


class Writer:
    """Collects the storages of a value while it becomes opcodes."""

    def __init__(self, *, old=False, legacy=False):
        self._old, self._legacy, self.storages = old, legacy, {}

    def opcodes(self, value):
        """Opcodes of nested dictionaries of arrays and other values."""
        if isinstance(value, dict):
            pairs = [(plain(k), self.opcodes(v)) for k, v in value.items()]
            if self._old:  # as Python 2 did
                listed = b"".join(b"](" + k + v + b"e" for k, v in pairs)
                inside = b"](" + listed + b"e"
                return name("collections", "OrderedDict") + inside + b"\x85R"
            inside = b"".join(k + v for k, v in pairs)
            return name("collections", "OrderedDict") + b")R(" + inside + b"u"
        if isinstance(value, np.ndarray | BFloat16):
            return self._tensor(value)
        return plain(value)

    def _tensor(self, value):
        word = "BFloat16"
        if isinstance(value, BFloat16):
            array = value.array
        else:
            array, word = value, _WORDS[value.dtype.name]
        key = str(len(self.storages))
        self.storages[key] = array.size, array.tobytes()
        strides = tuple(s // array.itemsize for s in np.empty_like(array).strides)
        if not array.flags.c_contiguous:
            raise ValueError("contiguous arrays alone")
        view = (None,) if self._legacy else ()
        parts = storage(word, key, array.size, view) + plain(0)
        parts += plain(array.shape) + plain(strides)
        if self._old:
            return name("torch._utils", "_rebuild_tensor") + b"(" + parts + b"tR"
        hooks = name("collections", "OrderedDict") + b")R"
        rebuilt = name("torch._utils", "_rebuild_tensor_v2")
        return rebuilt + b"(" + parts + b"\x89" + hooks + b"tR"


def zipped(opcodes, storages=None, *, top="archive", compress=False, more=None):
    """Bytes of the zip format around opcodes.

    Args:
      opcodes: of the one value.
      storages: {key: (count, bytes)}.
      top: name of its folder.
      compress: as PyTorch never does.
      more: {name: bytes} of members beside.
    """
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr(f"{top}/data.pkl", b"\x80\x02" + opcodes + b".")
        archive.writestr(f"{top}/byteorder", b"little")
        for key, (_, data) in (storages or {}).items():
            archive.writestr(f"{top}/data/{key}", data)
        archive.writestr(f"{top}/version", b"3\n")
        for member, data in (more or {}).items():
            archive.writestr(member, data)
    return buffer.getvalue()


def in_a_row(opcodes, storages=None, *, little=True):
    """Bytes of the format before PyTorch 1.6 around opcodes."""

    def pickled(inside):
        return b"\x80\x02" + inside + b"."

    machine = b"}(" + plain("little_endian") + plain(little) + b"u"
    keys = list(storages or {})
    parts = [MAGIC, pickled(plain(1001)), pickled(machine), pickled(opcodes)]
    parts.append(pickled(plain(keys)))
    for count, data in (storages or {}).values():
        parts += [struct.pack("<q", count), data]
    return b"".join(parts)


def saved(value, kind="zip"):
    """Bytes of a file with a value.

    Args:
      value: nested dictionaries of arrays, and other values.
      kind: "zip", "legacy" (PyTorch 0.4 to 1.5) or "old" (PyTorch 0.3, Python 2).
    """
    writer = Writer(old=kind == "old", legacy=kind != "zip")
    opcodes = writer.opcodes(value)
    if kind == "zip":
        return zipped(opcodes, writer.storages)
    return in_a_row(opcodes, writer.storages)


def write(path, tensors, kind="zip"):
    """Writes `saved` tensors; returns the path."""
    whole = {
        k: np.ascontiguousarray(v) if np.ndim(v) else v for k, v in tensors.items()
    }
    path.write_bytes(saved(whole, kind))
    return path
