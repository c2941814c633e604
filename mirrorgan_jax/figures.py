"""Sheets of samples: each generator stage side by side, the caption underneath."""

import io

import numpy as np

from mirrorgan_jax import files

_PAPER = (255, 255, 255)
_INK = (32, 33, 36)
_FAINT = (128, 134, 139)
_GAP = 4  # between the images of one example
_GUTTER = 28  # between examples
_MARGIN = 24
_MAX_LINES = 5
_SHEET_WIDTH = 2300


def to_uint8(images):
    """Images [..., 3] uint8, or float in [-1, 1], as a uint8 NumPy array."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32)
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def write_png(path, image):
    """Writes a PIL image as PNG; `path` may be on a bucket, readers see it whole."""
    encoded = io.BytesIO()
    image.save(encoded, format="PNG", optimize=True)
    files.write_bytes(path, encoded.getvalue())


def _wrap(text, font, width):
    """Lines of `text` at most `width` pixels wide; what is too long ends in '…'."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    shown = []
    for number, line in enumerate(lines[:_MAX_LINES]):
        more = number == _MAX_LINES - 1 and len(lines) > _MAX_LINES
        while line and font.getlength(line + "…" * more) > width:
            line, more = line[:-1].rstrip(), True
        shown.append(line + "…" * more)
    return shown


def _tile(array, cell):
    """One image [q, q, 3] as a PIL image of cell x cell."""
    from PIL import Image

    image = Image.fromarray(to_uint8(array))
    if image.size == (cell, cell):
        return image
    # Enlarged pixels stay visible: the coarse stages show what they really hold.
    enlarge = cell >= max(image.size)
    how = Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS
    return image.resize((cell, cell), how)


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
      captions: n strings.
      cell: pixels of a shown image; None takes the finest stage's own size,
        doubled until it has 128.
      real: [n, S, S, 3] true images for the left column, or None.
      title: line above everything, such as the step, or None.

    Returns:
      PIL.Image, RGB.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = _columns(stages, captions, real)
    if cell is None:
        cell = np.shape(stages[-1])[1]
        while cell < 128:
            cell *= 2
    scale = max(cell / 128, 1.0) ** 0.5  # of the letters: larger sheets, larger ones
    font, line = ImageFont.load_default(size=15 * scale), round(19 * scale)
    width = len(columns) * (cell + _GAP) - _GAP
    across = _across(len(captions), width + _GUTTER)
    texts = [_wrap(caption, font, width) for caption in captions]
    rows = [texts[at : at + across] for at in range(0, len(texts), across)]
    heights = [cell + 6 + line * max(map(len, row)) + _GUTTER // 2 for row in rows]
    heading = round(34 * scale) if title else 0
    top = _MARGIN + heading + round(17 * scale)
    size = (
        2 * _MARGIN + across * (width + _GUTTER) - _GUTTER,
        top + sum(heights) - _GUTTER // 2 + _MARGIN,
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        large = ImageFont.load_default(size=20 * scale)
        draw.text((_MARGIN, _MARGIN - 6), title, _INK, font=large)
    for index, caption in enumerate(texts):
        row, place = divmod(index, across)
        left = _MARGIN + place * (width + _GUTTER)
        y = top + sum(heights[:row])
        for number, (name, images) in enumerate(columns):
            x = left + number * (cell + _GAP)
            if row == 0:
                small = ImageFont.load_default(size=12 * scale)
                draw.text((x, y - round(17 * scale)), name, _FAINT, font=small)
            sheet.paste(_tile(images[index], cell), (x, y))
        for number, text in enumerate(caption):
            draw.text((left, y + cell + 6 + number * line), text, _INK, font=font)
    return sheet
