"""Sheets of pictures: tables of images with texts, laid out by Pillow alone."""

import io
from typing import Any, NamedTuple

import numpy as np

from mirrorgan_jax.inference import pictures
from mirrorgan_jax.workdir import files

_PAPER = (255, 255, 255)
INK = (32, 33, 36)
FAINT = (110, 116, 122)
AGREES = (11, 110, 79)
_GAP = 4  # between the images of one example
_GUTTER = 28  # between examples
_MARGIN = 24
_MAX_LINES = 5  # of a caption in a grid of samples
_MAX_TABLE_LINES = 10
_SHEET_WIDTH = 2300
_CONTACT = 192  # pixels at least of the largest picture of a contact sheet


class Cell(NamedTuple):
    """One place of a table.

    Attributes:
      image: [q, q, 3] in [-1, 1] or uint8, or None for an empty place.
      paragraphs: what stands under it: strings, or lists of (word, colour).
    """

    image: Any
    paragraphs: tuple = ()


def write_png(path, image, described=None):
    """Writes a PIL image as PNG; `path` may be on a bucket, readers see it whole.

    Args:
      path: where.
      image: PIL image.
      described: {keyword: string} for the file's text chunks, or None.
    """
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, value in (described or {}).items():
        chunks.add_text(key, value)
    encoded = io.BytesIO()
    image.save(encoded, format="PNG", optimize=True, pnginfo=chunks)
    files.write_bytes(path, encoded.getvalue())


def cell_size(stages):
    """Pixels at which images are shown: the finest size, doubled until it has 128."""
    cell = max(np.shape(stage)[1] for stage in stages)
    while cell < 128:
        cell *= 2
    return cell


def coloured(paragraph, color=INK):
    """A paragraph as a list of (word, colour)."""
    if isinstance(paragraph, str):
        return [(word, color) for word in paragraph.split()]
    return list(paragraph)


def _cut(word, font, width):
    """The word, or as much of it as fits before '…'."""
    if font.getlength(word) <= width:
        return word
    word = word[: int(width)]  # A letter is a pixel wide or more.
    while word and font.getlength(word + "…") > width:
        word = word[:-1]
    return word + "…"


def wrap(paragraph, font, width, max_lines):
    """Lines of (word, colour), each at most `width` wide; too long ends in '…'.

    Args:
      paragraph: string, or list of (word, colour).
      font: PIL font.
      width: pixels.
      max_lines: further words are cut.
    """
    lines = [[]]
    for word, color in coloured(paragraph):
        longer = " ".join(w for w, _ in [*lines[-1], (word, color)])
        if lines[-1] and font.getlength(longer) > width:
            lines.append([])
        lines[-1].append((_cut(word, font, width), color))
    if len(lines) > max_lines:
        lines = lines[:max_lines]
        last = lines[-1]
        while len(last) > 1 and (
            font.getlength(" ".join(w for w, _ in last) + "…") > width
        ):
            last.pop()
        word, color = last[-1]
        last[-1] = (_cut(word.removesuffix("…") + "…", font, width), color)
    return lines


def _draw_line(draw, place, line, font):
    """Draws one line of (word, colour); what agrees is underlined too."""
    x, y = place
    for word, color in line:
        draw.text((x, y), word, color, font=font)
        if color == AGREES:
            left, _, right, bottom = draw.textbbox((x, y), word, font=font)
            base = max(bottom, draw.textbbox((x, y), "x", font=font)[3]) + 1
            draw.line((left, base, right, base), fill=AGREES, width=1)
        x += font.getlength(word + " ")


def tile(array, cell):
    """One image [q, q, 3] as a PIL image of cell x cell."""
    from PIL import Image

    image = Image.fromarray(pictures.to_uint8(array))
    if image.size == (cell, cell):
        return image
    # Enlarged pixels stay visible: the coarse stages show what they really hold.
    enlarge = cell >= max(image.size)
    how = Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS
    return image.resize((cell, cell), how)


class _Text:
    """Wrapped paragraphs of one width, measured before they are drawn."""

    def __init__(self, paragraphs, size, width, max_lines=_MAX_TABLE_LINES):
        from PIL import ImageFont

        self._font = ImageFont.load_default(size=size)
        self._step = round(size * 1.3)
        self._lines = [
            line
            for paragraph in paragraphs
            if paragraph
            for line in wrap(paragraph, self._font, width, max_lines)
        ]
        self.height = self._step * len(self._lines)

    def draw(self, draw, x, y):
        """Draws the lines downwards from (x, y)."""
        for number, line in enumerate(self._lines):
            _draw_line(draw, (x, y + number * self._step), line, self._font)


def table(rows, *, cell, labels=None, headings=None, title=None):
    """Rows of images with texts under them.

    Args:
      rows: lists of `Cell`, not necessarily of one length.
      cell: pixels of a shown image.
      labels: a paragraph to the left of each row, or None.
      headings: a paragraph above each column, or None.
      title: paragraph above everything, or None.

    Returns:
      PIL.Image, RGB.

    Raises:
      ValueError: there is no cell.
    """
    from PIL import Image, ImageDraw

    columns = max((len(row) for row in rows), default=0)
    if not columns:
        raise ValueError("the table has no cells: allowed are 1 and more")
    scale = max(cell / 128, 1.0) ** 0.5  # of the letters: larger sheets, larger ones
    gap, small, size = round(8 * scale), 13 * scale, 14 * scale
    aside = round(96 * scale) if labels else 0
    left = _MARGIN + aside + (gap if labels else 0)
    width = left + columns * (cell + gap) - gap + _MARGIN

    head = _Text([title], 17 * scale, width - 2 * _MARGIN)
    tops = [_Text([h], size, cell) for h in headings or ()]
    sides = [_Text([name], size, aside) for name in labels or [""] * len(rows)]
    texts = [[_Text(c.paragraphs, small, cell) for c in row] for row in rows]
    # A row is as high as its longest text; rows with texts stand further apart.
    below = [max((t.height for t in row), default=0) for row in texts]
    heights = [cell + (gap // 2 + b + gap if b else 0) + gap for b in below]
    y = _MARGIN + (head.height + gap if head.height else 0)
    top = y + (max(t.height for t in tops) + gap // 2 if tops else 0)

    # Rows end with one gap or two, and the last one with the margin instead.
    end = 2 * gap if below[-1] else gap
    sheet = Image.new("RGB", (width, top + sum(heights) - end + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    head.draw(draw, _MARGIN, _MARGIN)
    for number, heading in enumerate(tops):
        heading.draw(draw, left + number * (cell + gap), y)
    for row, height, side, own in zip(rows, heights, sides, texts, strict=True):
        side.draw(draw, _MARGIN, top)
        for number, (place, words) in enumerate(zip(row, own, strict=True)):
            x = left + number * (cell + gap)
            if place.image is not None:
                sheet.paste(tile(place.image, cell), (x, top))
            words.draw(draw, x, top + cell + gap // 2)
        top += height
    return sheet


def stacked(sheets):
    """PIL images below one another, on paper as wide as the widest."""
    from PIL import Image

    size = (max(s.width for s in sheets), sum(s.height for s in sheets))
    whole, y = Image.new("RGB", size, _PAPER), 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height
    return whole


def _columns(stages, captions, real):
    """(title, images) of each column, left to right; refuses what does not fit."""
    if not stages:
        raise ValueError("stages is empty: allowed are 1 and more")
    columns = [("real", real)] if real is not None else []
    columns += [(f"{np.shape(stage)[1]} px", stage) for stage in stages]
    for title, images in columns:
        shape = np.shape(images)
        if len(shape) != 4 or shape[0] != len(captions) or shape[3] != 3:
            raise ValueError(
                f"images of column {title!r} have shape {shape}: allowed is"
                f" [{len(captions)}, q, q, 3], one for each caption"
            )
    if not captions:
        raise ValueError("captions is empty: allowed are 1 and more")
    return columns


def _across(count, width):
    """Examples beside one another: as many as fit, without a ragged last row."""
    most = max(1, min(count, (_SHEET_WIDTH - 2 * _MARGIN + _GUTTER) // width))
    fewest_rows = -(-count // most)
    return -(-count // fewest_rows)


def sample_grid(stages, captions, *, cell=None, real=None, title=None):
    """Sheet of n examples: the stages side by side, the caption underneath.

    Args:
      stages: tuple of [n, q, q, 3] images in [-1, 1] or uint8, coarse to fine.
      captions: n paragraphs, see `Cell`.
      cell: pixels of a shown image; None takes `cell_size`.
      real: [n, S, S, 3] true images for the left column, or None.
      title: paragraph above everything, such as the step, or None.

    Returns:
      PIL.Image, RGB.

    Raises:
      ValueError: images and captions do not fit together.
    """
    columns = _columns(stages, captions, real)
    cells = [cell or cell_size(stages)] * len(columns)
    return _grid(columns, cells, [[c] for c in captions], title, _MAX_LINES)


def contact_sheet(columns, texts, *, title=None):
    """Sheet of n examples at several sizes, none of which is resized.

    Args:
      columns: (heading, [n, q, q, 3] images in [-1, 1] or uint8) of each column. Where
        all are small, each of their pixels becomes a square of equal size.
      texts: for each example its paragraphs, see `Cell`.
      title: paragraph above everything, or None.

    Returns:
      PIL.Image, RGB.
    """
    sizes = [np.shape(images)[1] for _, images in columns]
    factor = -(-_CONTACT // max(sizes))
    return _grid(columns, [q * factor for q in sizes], texts, title, _MAX_TABLE_LINES)


def _grid(columns, cells, texts, title, max_lines):
    """Examples beside and below one another, the columns of each side by side.

    Args:
      columns: (heading, [n, q, q, 3] images) of each.
      cells: pixels at which the images of each column are shown.
      texts: for each example the paragraphs underneath.
      title: paragraph above everything, or None.
      max_lines: of a paragraph.
    """
    from PIL import Image, ImageDraw

    high, width = max(cells), sum(cells) + _GAP * (len(cells) - 1)
    scale = max(high / 128, 1.0) ** 0.5  # of the letters: larger sheets, larger ones
    across = _across(len(texts), width + _GUTTER)
    total = 2 * _MARGIN + across * (width + _GUTTER) - _GUTTER
    below = [_Text(own, 15 * scale, width, max_lines) for own in texts]
    rows = [below[at : at + across] for at in range(0, len(below), across)]
    heights = [high + 6 + max(t.height for t in row) + _GUTTER // 2 for row in rows]
    heading = _Text([title], 20 * scale, total - 2 * _MARGIN)
    names = [
        _Text([coloured(name, FAINT)], 12 * scale, cell)
        for (name, _), cell in zip(columns, cells, strict=True)
    ]
    above = heading.height + round(8 * scale) if heading.height else 0
    top = _MARGIN + above + max(name.height for name in names) + 1
    sheet = Image.new(
        "RGB", (total, top + sum(heights) - _GUTTER // 2 + _MARGIN), _PAPER
    )
    draw = ImageDraw.Draw(sheet)
    heading.draw(draw, _MARGIN, _MARGIN - 6)
    for index, words in enumerate(below):
        row, place = divmod(index, across)
        x = left = _MARGIN + place * (width + _GUTTER)
        y = top + sum(heights[:row])
        for (_, images), name, cell in zip(columns, names, cells, strict=True):
            if row == 0:
                name.draw(draw, x, y - name.height - 1)
            sheet.paste(tile(images[index], cell), (x, y))
            x += cell + _GAP
        words.draw(draw, left, y + high + 6)
    return sheet
