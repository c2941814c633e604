"""Attention maps over images: Figures 5 and 6 of the paper."""

import numpy as np

from mirrorgan_jax.inference import pictures
from mirrorgan_jax.report import sheets

_CHANGED = (176, 0, 32)


def strongest_words(word_map, num_words, count):
    """Words with the largest attention anywhere in a map, the largest first.

    Every word of the caption takes part, articles as well; equal ones stand in the
    caption's order.

    Args:
      word_map: [q, q, T] weights (Eq. 4).
      num_words: words of the caption, the first of T.
      count: how many words; fewer where the caption has fewer.

    Returns:
      int array of positions in the caption.
    """
    peaks = np.asarray(word_map)[..., :num_words].max((0, 1))
    return np.argsort(-peaks, kind="stable")[:count]


def _cell(image, values, name):
    """A map over an image; under it its name and the values of cold and hot."""
    extent = f"{np.min(values):.2f} to {np.max(values):.2f}"
    return sheets.Cell(
        pictures.overlay(image, values), (name, sheets.coloured(extent, sheets.FAINT))
    )


def map_cells(image, word_map, sentence_map, words, count):
    """Cells of one stage's maps: the sentence's, then the words'.

    Args:
      image: [q, q, 3] in [-1, 1] or uint8.
      word_map: [h, w, T].
      sentence_map: [h, w, M], or None.
      words: of the caption, in order.
      count: how many of them are shown, the strongest.
    """
    cells = []
    if sentence_map is not None:
        cells.append(_cell(image, pictures.sentence_focus(sentence_map), "sentence"))
    if word_map is not None:
        for position in strongest_words(word_map, len(words), count):
            cells.append(_cell(image, word_map[..., position], words[position]))
    return cells


def stages_sheet(images, word_maps, sentence_maps, words, *, title=None, count=5):
    """Images of every stage and, for each later one, where it looked (Fig. 5).

    Under the images a row for each later stage: `pictures.sentence_focus`, then the
    maps of the `strongest_words`, over the image that the stage made; the numbers are
    the weights that are cold and hot.

    Args:
      images: tuple of [q, q, 3] images of one example, coarse to fine.
      word_maps: tuple of [q, q, T] for each stage but the first, or None.
      sentence_maps: tuple of [q, q, M] likewise.
      words: words of the caption as they were shown to the generator.
      title: paragraph above everything, such as the caption.
      count: word maps a stage.

    Returns:
      PIL.Image, RGB.
    """
    rows = [[sheets.Cell(image, (f"{np.shape(image)[0]} px",)) for image in images]]
    labels = ["images"]
    later = zip(images[1:], word_maps, sentence_maps, strict=True)
    for number, (image, word_map, sentence_map) in enumerate(later, 1):
        cells = map_cells(image, word_map, sentence_map, words, count)
        if cells:
            rows.append(cells)
            labels.append(f"attention of stage {number}")
    cell = sheets.cell_size([np.asarray(image)[None] for image in images])
    return sheets.table(rows, cell=cell, labels=labels, title=title)


def changed_words(caption, other):
    """`other` as a list of (word, colour), the words that are not `caption`'s marked.

    Args:
      caption, other: strings of as many words.
    """
    pairs = zip(caption.split(), other.split(), strict=True)
    return [(new, sheets.INK if old == new else _CHANGED) for old, new in pairs]


def swap_sheet(images, word_maps, words, captions, *, title=None, count=2):
    """Images of captions that differ in a word, noise being the same (Fig. 6).

    Args:
      images: [k, q, q, 3], the first of the original caption.
      word_maps: [k, h, w, T] of the last stage, or None.
      words: words of each caption as they were shown to the generator.
      captions: k paragraphs that stand above the columns.
      title: paragraph above everything.
      count: maps under each image, the `strongest_words`.

    Returns:
      PIL.Image, RGB.
    """
    rows, labels = [[sheets.Cell(image) for image in images]], ["image"]
    if word_maps is not None:
        columns = [
            map_cells(image, word_map, None, own, count)
            for image, word_map, own in zip(images, word_maps, words, strict=True)
        ]
        # A caption of fewer words has fewer maps.
        for number in range(max(map(len, columns))):
            rows.append(
                [c[number] if number < len(c) else sheets.Cell(None) for c in columns]
            )
            labels.append(f"attention, word {number + 1}")
    cell = sheets.cell_size([images])
    return sheets.table(rows, cell=cell, labels=labels, headings=captions, title=title)
