"""Lists with a row a line: JSON lines, tables with separators, Flickr's rows, Parquet.

Each reader gives (place, {key: value}) rows; an empty cell is no value.
"""

import csv
import importlib.util
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from mirrorgan_jax.data.sources import columns, records, safe_json

Rows = list[tuple[str, object]]
LINE = 2**20  # bytes of a line of JSON
_ROWS = 5_000_000  # of a Parquet file
PICTURES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".heic", ".heif", ".avif",
)  # fmt: skip
_FLICKR = re.compile(r"([^\t]+)#[0-9]+\t(.*)")
_NUMBERED = re.compile(r"\s*[0-9]+\s+(\S.*)", re.DOTALL)


class Form(NamedTuple):
    """How a table is written.

    Attributes:
      delimiter: between its fields; "#" for Flickr's rows.
      header: its columns where the first line names them.
    """

    delimiter: str
    header: tuple[str, ...] | None


def decoded(data: bytes) -> str:
    """The text of a file of UTF-8, with or without a byte order mark.

    Raises:
      ValueError: it is of another encoding.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("UTF-16; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line:,} is not UTF-8 (0x{data[error.start]:02x}); save it as UTF-8"
        ) from None


def is_picture(name: str) -> bool:
    """Whether a file's ending is that of a picture."""
    return name.lower().endswith(PICTURES)


def json_lines(name: str, data: bytes, problems: list[str]) -> Rows:
    """A JSON value a line; blank lines count as lines, and say nothing."""
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            where = f"{records.printable(name)}:{number}"
            try:
                rows.append((where, safe_json.loads(line, where, limit=LINE)))
            except ValueError as error:
                problems.append(str(error))
    return rows


def _fields(line, delimiter):
    quoting = csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    try:
        found = next(csv.reader([line], delimiter=delimiter, quoting=quoting), [])
    except csv.Error:
        return []
    return [field.strip() for field in found]


def form_of(data: bytes, *, header: bool = False) -> Form | None:
    """How a table is written, by its first line; None where it is no list of pictures.

    Args:
      data: the file, or its beginning.
      header: whether the first line names columns, whatever their names.
    """
    lines = data[:8192].removeprefix(b"\xef\xbb\xbf").splitlines()
    line = lines[0].decode("utf-8", "replace") if lines else ""
    numbered = _FLICKR.fullmatch(line)
    if numbered and is_picture(numbered[1]):
        return Form("#", None)
    for delimiter in "\t|,;":
        found = _fields(line, delimiter)
        known = [columns.near(f) in columns.NAMES for f in found if f]
        if len(found) > 1 and any(known):
            return Form(delimiter, tuple(found))
        if len(found) > 1 and is_picture(found[0]) and not header:
            return Form(delimiter, None)
    found = max((_fields(line, d) for d in "\t|,;"), key=len)
    return Form("," if "," in line else "\t", tuple(found)) if header else None


def table(name: str, data: bytes, problems: list[str], *, header: bool = False) -> Rows:
    """A table with separators, or Flickr's `image.jpg#0<TAB>caption` rows.

    Args:
      name: of the file, for places.
      data: its bytes.
      problems: what is wrong is appended here.
      header: see `form_of`.
    """
    shown = records.printable(name)
    form = form_of(data, header=header)
    try:
        content = decoded(data)
    except ValueError as error:
        problems.append(f"{shown}: {error}")
        return []
    if form.delimiter == "#":
        return _flickr(shown, content, problems)
    keys = form.header or ("file_name", "text")
    if len({*keys}) < len(keys):
        problems.append(f"{shown}:1: two columns of one name: {records.shown(keys)}")
        return []
    rows = []
    for number, fields in _records(shown, content, form, problems):
        fields = _mended(fields, keys, form.delimiter)
        if fields is None:
            continue
        where = f"{shown}:{number}"
        if len(fields) == len(keys):
            cells = {k: v.strip() or None for k, v in zip(keys, fields, strict=True)}
            rows.append((where, cells))
        else:
            problems.append(f"{where}: {len(fields)} fields, {len(keys)} are named")
    return rows


def _records(shown, content, form, problems):
    """(number of the first line, fields) of every row but the header."""
    quoting = csv.QUOTE_NONE if form.delimiter == "|" else csv.QUOTE_MINIMAL
    reader = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=form.delimiter,
        quoting=quoting,
        strict=True,  # A quote that never ends would swallow the rest.
    )
    number = 1
    try:
        for fields in reader:
            if not (form.header and number == 1):
                yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        problems.append(
            f"{shown}:{number}: no row of a table: {records.printable(error)}"
        )


def _mended(fields, keys, delimiter):
    """Fields as they were meant, where that is plain; None for a blank line."""
    if not any(map(str.strip, fields)):
        return None
    last_is_caption = keys[-1] in columns.CAPTIONS
    if len(fields) > len(keys) and last_is_caption and delimiter != "\t":
        # A caption with the separator in it, and no quotes around.
        rest = delimiter.join(fields[len(keys) - 1 :])
        return [*fields[: len(keys) - 1], rest]
    if len(fields) == len(keys) - 1 and last_is_caption and delimiter == "|":
        # Flickr30k's own file lacks one separator: "a.jpg| 4   A dog runs .".
        numbered = _NUMBERED.fullmatch(fields[-1])
        if numbered:
            return [*fields[:-1], "", numbered[1]]
    return fields


def _flickr(shown, content, problems):
    rows = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", content), 1):
        found = _FLICKR.fullmatch(line)
        if found:
            cells = {"file_name": found[1], "text": found[2]}
            rows.append((f"{shown}:{number}", cells))
        elif line.strip():
            problems.append(f"{shown}:{number}: no image.jpg#0, tab and caption")
    return rows


def parquet(name: str, data: bytes, problems: list[str]) -> Rows:
    """The rows of a Parquet file, where pyarrow is installed."""
    shown = records.printable(name)
    if importlib.util.find_spec("pyarrow") is None:
        problems.append(
            f"{shown}: pyarrow reads Parquet and is not installed: pip install"
            " pyarrow, or save it as metadata.jsonl or metadata.csv"
        )
        return []
    import pyarrow
    from pyarrow import parquet as reader

    try:
        file = reader.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > _ROWS:
            raise ValueError(f"more than {_ROWS:,} rows")
        found: Sequence[dict] = file.read().to_pylist()
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        problems.append(f"{shown}: not readable: {str(error).splitlines()[0]}")
        return []
    return [(f"{shown}: row {i}", row) for i, row in enumerate(found, 1)]
