"""The stack machine that pickles are written for, without all that could run code.

`Reader` takes the arguments of opcodes from the file, `Machine` keeps the values; which
opcode does what says `pickles`, what a library's values are made of its parts
(`numpy_pickles`). Everything that grows has a limit.
"""

import re
import struct
from typing import Any

from mirrorgan_jax.data.sources import numpy_pickles, records

# The whole of AttnGAN's captions of CUB are 5 MB, 2 million items.
MAX_BYTES = 64 * 2**20
MAX_ITEMS = 4_000_000
MAX_CONTAINERS = 1_000_000
MAX_MEMO = 4_000_000
MAX_DEPTH = 20

UNSIGNED = tuple(struct.Struct(form) for form in ("<B", "<H", "<I", "<Q"))
INT32, FLOAT64 = struct.Struct("<i"), struct.Struct(">d")
CRLF = (
    "its line ends were changed to CRLF, by Windows or git (core.autocrlf); take the"
    " file anew, as binary"
)
_SCALARS = {int, bool, float, str, bytes, type(None)}
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\'\"nrt]|)")
_ESCAPES = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Reader:
    """Takes opcodes and their arguments from the bytes of a pickle.

    Args:
      data: bytes that hold a pickle.
      at: where in them it begins.

    Attributes:
      start: offset of the opcode that was taken last.
    """

    def __init__(self, data: bytes, at: int = 0):
        self.start = at
        self._data, self._at = data, at

    @property
    def at(self) -> int:
        """Offset of what comes next."""
        return self._at

    def opcode(self) -> int:
        """The next opcode."""
        self.start = self._at
        if self._at >= len(self._data):
            raise ValueError("the file ends before STOP")
        self._at += 1
        return self._data[self.start]

    def _take(self, count: int) -> bytes:
        left = len(self._data) - self._at
        if count > left:
            raise ValueError(f"{count:,} bytes are announced, {left:,} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise ValueError("the file ends within a line")
        line, self._at = self._data[self._at : end], end + 1
        if line.endswith(b"\r"):
            raise ValueError(CRLF)
        return line

    def number(self, form: struct.Struct) -> int | float:
        """The number of this form that comes next."""
        at, self._at = self._at, self._at + form.size
        if self._at > len(self._data):
            raise ValueError("the file ends within a number")
        return form.unpack_from(self._data, at)[0]

    def sized(self, form: struct.Struct) -> bytes:
        """Bytes whose count of this form stands before them."""
        count = self.number(form)
        if count < 0:
            raise ValueError(f"a length of {count}")
        return self._take(count)

    def decimal(self) -> int | bool:
        """A line with a whole number; 00 and 01 are False and True."""
        line = self._line().removesuffix(b"L")
        if not re.fullmatch(rb"[+-]?[0-9]{1,20}", line):
            raise ValueError(f"{records.shown(line)} is no number of 1 to 20 digits")
        return {b"00": False, b"01": True}.get(line, int(line))

    def float_line(self) -> float:
        """A line with a number."""
        line = self._line()
        try:
            return float(line[:60])
        except ValueError:
            raise ValueError(f"{records.shown(line)} is no number") from None

    def long(self, form: struct.Struct) -> int:
        """A signed number of at most 64 bits and a sign, its count of bytes first."""
        digits = self.sized(form)
        if len(digits) > 9:
            raise ValueError(f"a number of {len(digits):,} bytes; at most 9 are read")
        return int.from_bytes(digits, "little", signed=True)

    def quoted(self) -> str:
        """A line with a string as Python 2's repr writes it."""
        line = self._line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError(f"{records.shown(line)} is no string in quotes")

        def plain(match: re.Match) -> bytes:
            escape = match[1]
            if not escape:
                raise ValueError(f"{records.shown(line)} holds an unknown escape")
            return _ESCAPES.get(escape) or bytes([int(escape[1:], 16)])

        return _ESCAPE.sub(plain, line[1:-1]).decode("latin1")

    def escaped(self) -> str:
        r"""A line of Unicode, others than latin1 as \uXXXX."""
        return self._line().decode("raw-unicode-escape")

    def text(self, form: struct.Struct) -> str:
        """UTF-8 whose length comes first."""
        return self.sized(form).decode("utf-8", "surrogatepass")

    def frame(self) -> None:
        """A frame says how many bytes belong together; they must be there."""
        length, left = self.number(UNSIGNED[3]), len(self._data) - self._at
        if length > left:
            raise ValueError(f"a frame of {length:,} bytes, {left:,} are left")

    def protocol(self) -> None:
        """The number of the protocol."""
        number = self.number(UNSIGNED[0])
        if number > 5:
            raise ValueError(f"protocol {number}; 0 to 5 are read")

    def end(self) -> None:
        """Nothing but white space may be left."""
        if self._data[self._at :].strip():
            raise ValueError(f"{len(self._data) - self._at:,} bytes follow STOP")


class Machine(Reader):
    """The values that a pickle has made so far.

    Args:
      data, at: as of `Reader`.
      parts: what knows the values of a library, such as `numpy_pickles`: by its
        `name`, `reduce` and `build`, the OPCODES that they alone need, and words for
        what is ALLOWED.
    """

    def __init__(self, data: bytes, at: int = 0, parts: Any = numpy_pickles):
        super().__init__(data, at)
        self.parts = parts
        self._stack, self._marks, self._memo = [], [], {}
        self._containers = self._made = 0
        # By id: nesting of each list, dict and tuple, and which lie in another. What
        # lies in another is finished, so nothing ever contains itself.
        self._depths, self._placed = {}, set()

    def result(self) -> object:
        """The one value that is left at STOP."""
        if self._marks or len(self._stack) != 1:
            raise ValueError(f"STOP leaves {len(self._stack)} values, not one")
        return self._plain(self._stack[0])

    def push(self, value: object) -> None:
        """A value that holds no others."""
        self._stack.append(value)

    def pop(self) -> object:
        """The last value, from above the last mark."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("a value is missing")
        return self._stack.pop()

    def mark(self) -> None:
        """Begins a group of values."""
        self._marks.append(len(self._stack))
        if len(self._marks) > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")

    def marked(self) -> list:
        """All values from the last mark on."""
        if not self._marks:
            raise ValueError("MARK is missing")
        at = self._marks.pop()
        values = self._stack[at:]
        del self._stack[at:]
        return values

    def _last(self, kind: type) -> list | dict:
        """The container under work."""
        found = self.pop()
        self._stack.append(found)
        if type(found) is not kind:
            what = records.shown(found)
            raise ValueError(f"{what} where a {kind.__name__} is needed")
        if id(found) in self._placed:
            raise ValueError(f"a {kind.__name__} changes after it was used")
        return found

    def _plain(self, value: object) -> object:
        if isinstance(value, numpy_pickles.Symbol):
            raise ValueError(f"{value} is refused; only {self.parts.ALLOWED}")
        if isinstance(value, numpy_pickles.Array) and not value.filled:
            raise ValueError("a NumPy array without its items")
        return value

    def _place(self, values: list, depth: int = 0, *, symbols: bool = False) -> int:
        """Notes that the values lie in a container; gives the depth of that."""
        for value in values:
            if type(value) in _SCALARS:
                continue
            if not (symbols and isinstance(value, numpy_pickles.Symbol)):
                self._plain(value)
            if isinstance(value, list | dict | tuple):
                depth = max(depth, self._depths[id(value)])
                self._placed.add(id(value))
        if depth >= MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        return depth + 1

    def _grow(self, target: list | dict, values: list) -> None:
        """Notes that the container under work gets these values too."""
        depth = self._place(values, self._depths[id(target)] - 1)
        if id(target) in self._placed:
            raise ValueError(f"a {type(target).__name__} that contains itself")
        self._depths[id(target)] = depth

    def _begin(self, container: list | dict | tuple, depth: int) -> None:
        self._containers += 1
        if self._containers > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS:,} lists")
        self._depths[id(container)] = depth
        self._placed.discard(id(container))
        self._stack.append(container)

    def begin_list(self, values: list) -> None:
        """A list of values."""
        self._begin([], 1)
        self.extend(values)

    def begin_dict(self, values: list) -> None:
        """A dictionary of keys and values in turn."""
        self._begin({}, 1)
        self.update(values)

    def tuple(self, values: list) -> None:
        """A tuple; one with symbols can only become arguments."""
        symbols = any(isinstance(v, numpy_pickles.Symbol) for v in values)
        kind = numpy_pickles.Arguments if symbols else tuple
        self._begin(kind(values), self._place(values, symbols=True))

    def last(self, count: int) -> list:
        """The last values, in their order."""
        return [self.pop() for _ in range(count)][::-1]

    def extend(self, values: list) -> None:
        """Appends to the list under work."""
        target = self._last(list)
        self._grow(target, values)
        target.extend(values)

    def update(self, values: list) -> None:
        """Adds keys and values in turn to the dictionary under work."""
        target = self._last(dict)
        keys, values = values[::2], values[1::2]
        if len(keys) != len(values):
            raise ValueError("a key without a value")
        for key in keys:
            # The hash of a tuple is that of all it holds.
            if not isinstance(key, str | bytes | int):
                raise ValueError(f"{records.shown(key)} is no key")
        self._grow(target, values)
        target.update(zip(keys, values, strict=True))

    def put(self, index: int) -> None:
        """Notes the last value under a number."""
        if not 0 <= index < MAX_MEMO:
            raise ValueError(f"memo number {index}; allowed are 0 to {MAX_MEMO - 1:,}")
        self._memo[index] = self.pop()
        self._stack.append(self._memo[index])

    def memoize(self) -> None:
        """Notes the last value under the next number."""
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        """A noted value once more."""
        if index not in self._memo:
            raise ValueError(f"memo number {index} was never set")
        self._stack.append(self._memo[index])

    def name(self, module: object, attribute: object) -> None:
        """One of the few names that are known, as a symbol."""
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise ValueError("a name that is no string")
        self.push(self.parts.name(module, attribute))

    def name_lines(self) -> None:
        """A name in two lines."""
        self.name(*(self._line().decode("latin1") for _ in range(2)))

    def reduce(self) -> None:
        """A name applied to its arguments."""
        function, arguments = self.last(2)
        self._spend(arguments)
        value = self.parts.reduce(function, arguments)
        if isinstance(value, list | dict):
            held = value if isinstance(value, list) else list(value.values())
            self._begin(value, self._place(held))
        else:
            self.push(value)

    def build(self) -> None:
        """The state of the library's value before it."""
        target, state = self.last(2)
        self._spend(state)
        self.parts.build(target, state)
        if isinstance(target, list):
            self._depths[id(target)] = self._place(target)
        self.push(target)

    def _spend(self, arguments: object) -> None:
        """Counts what values are made of: a noted string serves many of them."""
        for part in arguments if isinstance(arguments, tuple) else ():
            if isinstance(part, str | bytes | list):
                self._made += len(part)
        if self._made > MAX_BYTES:
            raise ValueError(f"values made of more than {MAX_BYTES:,} bytes")
