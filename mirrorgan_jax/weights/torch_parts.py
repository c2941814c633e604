"""What PyTorch writes into pickles, put together from its parts by ourselves.

Tensors of every version from 0.1 on, parameters, ordered dictionaries. A tensor stays a
description (storage, offset, shape, strides) until `array` checks it against the bytes
of its storage: nothing of PyTorch is looked up or called.
"""

import math

import numpy as np

from mirrorgan_jax.data.sources import numpy_pickles
from mirrorgan_jax.data.sources.pickle_machine import Machine

# PyTorch's word for a type: NumPy's type of its bytes. That of bfloat16 is ours.
_DTYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8",
    "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip
_NAMES = {
    ("collections", "OrderedDict"): "dictionary",
    ("torch", "Size"): "size",
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch.nn.parameter", "Parameter"): "parameter",
}
_MAX_AXES = 8


class StorageType(numpy_pickles.Symbol):
    """The type of a storage's items: PyTorch's word for it."""

    def __init__(self, word: str):
        self.word = word

    def __str__(self) -> str:
        return f"torch.{self.word}Storage"


class Storage(numpy_pickles.Symbol):
    """Memory that tensors share; its bytes stand elsewhere in the file.

    Attributes:
      key: its name in the file.
      word: PyTorch's word for the type of its items.
      count: items of the whole.
      begin, size: the part of them that this one is.
    """

    def __init__(self, key: str, word: str, count: int):
        self.key, self.word, self.count = key, word, count
        self.begin, self.size = 0, count

    def __str__(self) -> str:
        return "a storage without a tensor"

    @property
    def dtype(self) -> np.dtype:
        """NumPy's type of the items' bytes."""
        return np.dtype(_DTYPES[self.word])


class Tensor:
    """A tensor as it is described; `storage` is None until its state was given."""

    storage: Storage | None = None
    offset: int = 0
    shape: tuple = ()
    strides: tuple = ()

    def fill(self, storage, offset, shape, strides) -> None:
        """Takes the four parts of a tensor.

        Raises:
          ValueError: they are not those that PyTorch writes.
        """
        known = (
            isinstance(storage, Storage)
            and _are_counts((offset,))
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and _are_counts((*shape, *strides))
            and len(shape) == len(strides) <= _MAX_AXES
        )
        if not known:
            raise ValueError("a tensor has parts that PyTorch does not write")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = shape, strides


def _are_counts(values) -> bool:
    return all(type(value) is int and 0 <= value < 2**40 for value in values)


class Parts:
    """What `Machine` needs to read PyTorch's values.

    Attributes:
      storages: {key: `Storage`} of all that were named.
    """

    ALLOWED = (
        "tensors in dictionaries are read, as torch.save(network.state_dict(), FILE)"
        " writes them"
    )

    def __init__(self):
        self.storages: dict[str, Storage] = {}
        self.OPCODES = {
            ord("Q"): lambda m: m.push(self._persistent(m.pop())),
            0x81: Machine.reduce,  # NEWOBJ: parameters and tensors of 0.1
        }

    def name(self, module: str, attribute: str) -> numpy_pickles.Symbol:
        """The symbol of a name.

        Raises:
          ValueError: it is none of the few that tensors need.
        """
        title = f"{module}.{attribute}"
        if module in ("torch", "torch.cuda"):
            for word in _DTYPES:
                if attribute == f"{word}Storage":
                    return StorageType(word)
                if attribute == f"{word}Tensor":
                    return numpy_pickles.Name("old tensor", title)
        kind = _NAMES.get((module, attribute))
        if kind is None:
            shown = title if len(title) <= 60 else f"{title[:60]}..."
            raise ValueError(f"{ascii(shown)[1:-1]} is refused; only {self.ALLOWED}")
        return numpy_pickles.Name(kind, title)

    def _persistent(self, value: object) -> Storage:
        """The storage that a persistent id names."""
        if isinstance(value, tuple) and value[:1] == ("module",):
            raise ValueError(f"a whole network is refused; only {self.ALLOWED}")
        if not isinstance(value, tuple) or len(value) not in (5, 6):
            raise ValueError("a persistent id that PyTorch does not write")
        mark, kind, key, _, count, *view = value  # and on which device it was
        if (
            mark != "storage"
            or not isinstance(kind, StorageType)
            or not isinstance(key, str)
            or not _are_counts((count,))
        ):
            raise ValueError("a storage has parts that PyTorch does not write")
        found = Storage(key, kind.word, count)
        other = self.storages.setdefault(key, found)
        if (other.word, other.count) != (found.word, found.count):
            raise ValueError("a storage has two types or sizes")
        if view and view[0] is not None:
            # One that PyTorch 0.1 to 0.3 had cut out of another.
            _, begin, size = view[0] if len(view[0]) == 3 else (None, -1, -1)
            if not _are_counts((begin, size)) or begin + size > count:
                raise ValueError("a storage that leaves the one it is cut out of")
            found.begin, found.size = begin, size
        return found

    def reduce(self, function: object, arguments: object) -> object:
        """What PyTorch would make of a name applied to arguments.

        Returns:
          A dictionary, a tuple or a `Tensor`.

        Raises:
          ValueError: the arguments are not those that PyTorch writes.
        """
        if isinstance(function, numpy_pickles.Name) and isinstance(arguments, tuple):
            value = _MAKERS[function.kind](*arguments[:4], count=len(arguments))
            if value is not None:
                return value
        raise ValueError("REDUCE of something else than PyTorch's values is refused")

    def build(self, target: object, state: object) -> None:
        """Gives a tensor its parts; what else PyTorch notes of values is left out.

        Raises:
          ValueError: the state is not one that PyTorch writes.
        """
        if isinstance(target, dict) and isinstance(state, dict):
            return  # the versions of a network's modules
        if isinstance(target, Tensor) and isinstance(state, tuple):
            if target.storage is None and len(state) == 4:
                return target.fill(*state)
            if target.storage is None and len(state) == 5:
                inner = state[0]  # of a parameter of PyTorch 0.1 to 0.3
                if isinstance(inner, Tensor) and inner.storage is not None:
                    return target.fill(
                        inner.storage, inner.offset, inner.shape, inner.strides
                    )
            elif target.storage is not None and len(state) in (2, 3):
                return None  # whether it learns, and its hooks
        raise ValueError("BUILD of something else than PyTorch's values is refused")


def _dictionary(pairs=None, *_, count):
    if count == 0:
        return {}
    # Python 2 gives the pairs at once.
    if count != 1 or not isinstance(pairs, list | tuple):
        return None
    found = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        if not isinstance(pair[0], str | bytes | int):
            return None
        found[pair[0]] = pair[1]
    return found


def _size(shape=None, *_, count):
    return shape if count == 1 and isinstance(shape, tuple) else None


def _tensor(*parts, count):
    if not 4 <= count <= 7:  # whether it learns, its hooks, its marks
        return None
    made = Tensor()
    made.fill(*parts)
    return made


def _parameter(data=None, *_, count):
    if count == 0:
        return Tensor()
    return data if isinstance(data, Tensor) and count <= 3 else None


def _old_tensor(*_, count):
    return Tensor() if count == 0 else None


_MAKERS = {
    "dictionary": _dictionary,
    "size": _size,
    "tensor": _tensor,
    "parameter": _parameter,
    "old tensor": _old_tensor,
}


def array(tensor: Tensor, data: bytes | memoryview) -> np.ndarray:
    """The values of a tensor.

    Args:
      tensor: its description.
      data: all bytes of its storage.

    Returns:
      A read-only view of `data` of the tensor's shape; values of bfloat16 as float32.

    Raises:
      ValueError: it has no storage, or leaves it, or has more values than it.
    """
    storage = tensor.storage
    if storage is None:
        raise ValueError("a tensor without its values")
    if len(data) != storage.count * storage.dtype.itemsize:
        raise ValueError(
            f"storage {storage.key} should have {storage.count:,} values of"
            f" {storage.dtype.itemsize} bytes, but {len(data):,} bytes are there"
        )
    count = math.prod(tensor.shape)
    last = tensor.offset + sum(
        (n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if count and (last >= storage.size or count > storage.size):
        raise ValueError(
            f"a tensor of shape {tensor.shape} does not lie in its storage of"
            f" {storage.size:,} values"
        )
    if not count:
        return np.zeros(tensor.shape, storage.dtype)
    items = np.frombuffer(data, storage.dtype)[storage.begin + tensor.offset :]
    view = np.lib.stride_tricks.as_strided(
        items,
        tensor.shape,
        [stride * items.itemsize for stride in tensor.strides],
        writeable=False,
    )
    if storage.word == "BFloat16":
        return (view.astype(np.uint32) << 16).view(np.float32)
    return view
