"""What NumPy writes into pickles, put together from its parts by ourselves.

Scalars and one-dimensional arrays of whole numbers, truth values, strings, bytes and
objects. NumPy's own unpickling would believe a file about where its memory lies; here
a type is one of a short list, and its bytes must be as many as it says.
"""

import re
from collections.abc import Callable

import numpy as np

ALLOWED = (
    "lists, tuples, dictionaries, strings and numbers are read, and NumPy's scalars"
    " and one-dimensional arrays of them"
)
OPCODES: dict[int, Callable[..., None]] = {}  # none but those of all pickles
_NAMES = {
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    ("builtins", "bytes"): "bytes",
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[_core + ".multiarray", "scalar"] = "scalar"
    _NAMES[_core + ".multiarray", "_reconstruct"] = "array"
    _NAMES[_core + ".numeric", "_frombuffer"] = "buffer"
_KINDS = re.compile(r"([iu][1248]|b1|O8?|[SU][0-9]{1,6})")
MAX_ITEMS = 1_000_000  # of an array
_FIELDS = 8  # version, order, three Nones, item size, alignment, flags


class Symbol:
    """Something that is no value yet, and may not be part of the result."""


class Name(Symbol):
    """One of the names above."""

    def __init__(self, kind: str, title: str):
        self.kind, self._title = kind, title

    def __str__(self) -> str:
        return self._title


class Arguments(tuple, Symbol):
    """A tuple that holds symbols."""

    def __str__(self) -> str:
        return "a tuple of parts of a library"


class DType(Symbol):
    """A type of NumPy's items.

    Attributes:
      kind: one of "iubSUO".
      size: bytes of an item.
      order: "<" or ">".
      set: whether its state was given.
    """

    def __init__(self, code: str):
        self.kind = code[0]
        self.size = int(code[1:] or 8) * (4 if self.kind == "U" else 1)
        self.order, self.set = "<", False

    def __str__(self) -> str:
        return "a numpy.dtype"


class Array(list):
    """A one-dimensional array as a list; `filled` once its items are there."""

    filled = False


def name(module: str, attribute: str) -> Name:
    """The symbol of a name.

    Raises:
      ValueError: it is none of the few that NumPy's values need.
    """
    title = f"{module}.{attribute}"
    kind = _NAMES.get((module, attribute))
    if kind is None:
        title = title if len(title) <= 60 else f"{title[:60]}..."
        raise ValueError(f"{ascii(title)[1:-1]} is refused; only {ALLOWED}")
    return Name(kind, title)


def reduce(function: object, arguments: object) -> object:
    """What NumPy would make of a name applied to arguments.

    Returns:
      A `DType`, bytes, an `Array` (empty, or filled) or a plain scalar.

    Raises:
      ValueError: the arguments are not those that NumPy writes.
    """
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError("REDUCE of something else than NumPy's values is refused")
    make = _MAKERS.get(function.kind)
    value = make(*arguments[:4], count=len(arguments)) if make else None
    if value is None:
        raise ValueError(f"{function} has arguments that NumPy does not write")
    return value


def build(target: object, state: object) -> None:
    """Gives a type or an array the state that NumPy wrote behind it.

    Raises:
      ValueError: the state is not one that NumPy writes.
    """
    if isinstance(target, DType) and not target.set:
        _set_type(target, state)
    elif isinstance(target, Array) and not target.filled:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array's state has other parts than NumPy writes")
        _, shape, dtype, _, data = state  # version, ..., whether in Fortran's order
        target.extend(_items(data, dtype, shape))
        target.filled = True
    else:
        raise ValueError("BUILD of something else than NumPy's values is refused")


def _set_type(dtype: DType, state: object) -> None:
    if not isinstance(state, tuple) or len(state) != _FIELDS:
        raise ValueError("a numpy.dtype has other parts than NumPy writes")
    _, order, subarray, names, fields, size, _, flags = state
    if (subarray, names, fields) != (None, None, None):
        raise ValueError("a numpy.dtype with fields is refused")
    if order not in ("<", ">", "|", b"<", b">", b"|") or size not in (-1, dtype.size):
        raise ValueError("a numpy.dtype has an order or a size that its name denies")
    # Its first flag turns items into pointers.
    if type(flags) is not int or (flags & 1 and dtype.kind != "O"):
        raise ValueError("a numpy.dtype has flags that its name denies")
    dtype.order = ">" if order in (">", b">") else "<"
    dtype.set = True


def _items(data: object, dtype: object, shape: object) -> list:
    """The items of a one-dimensional array, or of a scalar with shape (1,)."""
    if not isinstance(dtype, DType):
        raise ValueError("items without a numpy.dtype")
    if not (isinstance(shape, tuple) and len(shape) == 1 and type(shape[0]) is int):
        raise ValueError("a NumPy array of another shape than (N,) is refused")
    if shape[0] > MAX_ITEMS:
        raise ValueError(f"an array of more than {MAX_ITEMS:,} items")
    if dtype.kind == "O":
        if not isinstance(data, list) or len(data) != shape[0]:
            raise ValueError(f"an array of {shape[0]} objects holds others")
        return data
    data = data.encode("latin1") if isinstance(data, str) else data
    # Strings of no size: any number of them would fit into no bytes.
    if not isinstance(data, bytes) or len(data) != shape[0] * max(dtype.size, 1):
        raise ValueError(
            f"{shape[0]} items of {dtype.size} bytes are announced, others are there"
        )
    if dtype.kind in "iub":
        order = dtype.order if dtype.size > 1 else "|"
        return np.frombuffer(data, f"{order}{dtype.kind}{dtype.size}").tolist()
    if not dtype.size:
        raise ValueError("NumPy strings of no size are refused")
    parts = [data[i : i + dtype.size] for i in range(0, len(data), dtype.size)]
    if dtype.kind == "S":
        return [part.rstrip(b"\0") for part in parts]
    code = "utf-32-be" if dtype.order == ">" else "utf-32-le"
    return [part.decode(code, "surrogatepass").rstrip("\0") for part in parts]


def _make_dtype(code, *_, count):
    code = code.decode("latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not _KINDS.fullmatch(code):
        raise ValueError(f"numpy.dtype {ascii(code)[:30]} is refused; only {ALLOWED}")
    return DType(code) if count == 3 else None


def _make_scalar(dtype, data=None, *_, count):
    if not isinstance(dtype, DType) or dtype.kind == "O" or count != 2:
        return None
    return _items(data, dtype, (1,))[0]


def _make_array(kind, shape=None, code=None, *_, count):
    known = isinstance(kind, Name) and kind.kind == "ndarray" and count == 3
    return Array() if known and shape == (0,) and code in ("b", b"b") else None


def _make_from_buffer(data, dtype=None, shape=None, order=None, *, count):
    # "A" and "K" are orders too, but not of one dimension.
    if count != 4 or order not in ("C", "F") or getattr(dtype, "kind", "O") == "O":
        return None
    made = Array(_items(data, dtype, shape))
    made.filled = True
    return made


def _make_bytes(value=None, code=None, *_, count):
    # What Python 3 writes for bytes in protocols 0 to 2.
    if count == 2 and isinstance(value, str) and code in ("latin1", b"latin1"):
        return value.encode("latin1")
    return None


def _make_no_bytes(*_, count):
    return b"" if count == 0 else None


_MAKERS = {
    "dtype": _make_dtype,
    "scalar": _make_scalar,
    "array": _make_array,
    "buffer": _make_from_buffer,
    "encode": _make_bytes,
    "bytes": _make_no_bytes,
}
