"""Pickles of strangers read as data: nothing in them is looked up or called.

CUB's split and AttnGAN's captions are pickles of Python 2 or 3 that hold lists,
dictionaries, strings and numbers, sometimes NumPy's. Their opcodes, protocols 0 to 5,
are walked by a machine that knows no others; NumPy's values are put together from
their bytes (`numpy_pickles`), never by NumPy's own unpickling, whose `__setstate__`
takes pointers. Strings of Python 2 are latin1. (`pickletools.genops` is no help: it
stops at bytes above 127 in what Python 2 wrote.)
"""

import pickletools
from collections.abc import Callable

from mirrorgan_jax.data.sources import files, pickle_machine
from mirrorgan_jax.data.sources.pickle_machine import Machine

_STOP = ord(".")


def load(data: bytes, where: str) -> object:
    """The value of a pickle, of Python's own lists, tuples, dicts, str, bytes, numbers.

    NumPy's scalars become numbers and strings, its one-dimensional arrays lists.

    Args:
      data: the file's bytes.
      where: how errors name the file.

    Raises:
      ValueError: one sentence; it holds anything else, is damaged or too large.
    """
    if len(data) > pickle_machine.MAX_BYTES:
        most = f"{pickle_machine.MAX_BYTES / 2**20:.0f} MiB"
        raise ValueError(f"{where}: larger than a pickle may be, {most}")
    machine = Machine(data)
    try:
        value = walk(machine)
        machine.end()
        return value
    except ValueError as error:
        damage = _damage(data)
        reason = damage or f"byte {machine.start}: {error}"
        raise ValueError(f"{where}: {reason}") from None


def _damage(data: bytes) -> str:
    """What happened to a file that is no pickle any more, if its bytes show it."""
    kind = files.kind_of(data[:512])
    if kind:
        return f"not a pickle{kind}"
    if data.startswith((b"\xef\xbf\xbd", b"\xc2\x80")):
        return "a program that took it for text changed its bytes; take it anew"
    if b"\r\n" in data and data.count(b"\r\n") == data.count(b"\n"):
        return pickle_machine.CRLF
    return ""


def walk(machine: Machine) -> object:
    """Does what every opcode says, up to STOP.

    Args:
      machine: at the beginning of a pickle; afterwards behind it.

    Returns:
      The value.

    Raises:
      ValueError: as `load`, without the file's name.
    """
    parts = machine.parts
    for _ in range(pickle_machine.MAX_ITEMS):
        code = machine.opcode()
        action = _ACTIONS.get(code) or parts.OPCODES.get(code)
        if action is not None:
            action(machine)
        elif code == _STOP:
            return machine.result()
        else:
            known = pickletools.code2op.get(chr(code))
            name = known.name if known else f"opcode {code:#04x}"
            raise ValueError(f"{name} is refused; only {parts.ALLOWED}")
    raise ValueError(f"more than {pickle_machine.MAX_ITEMS:,} items")


def _actions() -> dict[int, Callable[[Machine], None]]:
    """What each opcode does; `pickletools` has their names, "I" is INT."""
    u8, u16, u32, u64 = pickle_machine.UNSIGNED
    i32, f64 = pickle_machine.INT32, pickle_machine.FLOAT64
    found: dict[bytes, Callable[[Machine], None]] = {
        b"\x80": Machine.protocol,
        b"\x95": Machine.frame,
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"I": lambda m: m.push(m.decimal()),
        b"L": lambda m: m.push(m.decimal()),
        b"K": lambda m: m.push(m.number(u8)),
        b"M": lambda m: m.push(m.number(u16)),
        b"J": lambda m: m.push(m.number(i32)),
        b"\x8a": lambda m: m.push(m.long(u8)),
        b"\x8b": lambda m: m.push(m.long(i32)),
        b"F": lambda m: m.push(m.float_line()),
        b"G": lambda m: m.push(m.number(f64)),
        # Strings of Python 2.
        b"S": lambda m: m.push(m.quoted()),
        b"U": lambda m: m.push(m.sized(u8).decode("latin1")),
        b"T": lambda m: m.push(m.sized(i32).decode("latin1")),
        # Unicode, and bytes.
        b"V": lambda m: m.push(m.escaped()),
        b"\x8c": lambda m: m.push(m.text(u8)),
        b"X": lambda m: m.push(m.text(u32)),
        b"\x8d": lambda m: m.push(m.text(u64)),
        b"C": lambda m: m.push(m.sized(u8)),
        b"B": lambda m: m.push(m.sized(u32)),
        b"\x8e": lambda m: m.push(m.sized(u64)),
        b"\x96": lambda m: m.push(m.sized(u64)),
        # Lists, dictionaries, tuples.
        b"(": Machine.mark,
        b"]": lambda m: m.begin_list([]),
        b"l": lambda m: m.begin_list(m.marked()),
        b"a": lambda m: m.extend(m.last(1)),
        b"e": lambda m: m.extend(m.marked()),
        b"}": lambda m: m.begin_dict([]),
        b"d": lambda m: m.begin_dict(m.marked()),
        b"s": lambda m: m.update(m.last(2)),
        b"u": lambda m: m.update(m.marked()),
        b")": lambda m: m.tuple([]),
        b"\x85": lambda m: m.tuple(m.last(1)),
        b"\x86": lambda m: m.tuple(m.last(2)),
        b"\x87": lambda m: m.tuple(m.last(3)),
        b"t": lambda m: m.tuple(m.marked()),
        # Memo.
        b"p": lambda m: m.put(m.decimal()),
        b"q": lambda m: m.put(m.number(u8)),
        b"r": lambda m: m.put(m.number(u32)),
        b"\x94": Machine.memoize,
        b"g": lambda m: m.get(m.decimal()),
        b"h": lambda m: m.get(m.number(u8)),
        b"j": lambda m: m.get(m.number(u32)),
        # Parts of libraries.
        b"c": Machine.name_lines,
        b"\x93": lambda m: m.name(*m.last(2)),
        b"R": Machine.reduce,
        b"b": Machine.build,
    }
    return {code[0]: action for code, action in found.items()}


_ACTIONS = _actions()
