"""Attention maps as heat maps over generated images (Figures 5 and 6).

Word maps are Eq. 4's weights beta, sentence maps Eq. 5's; both belong to the features
that a stage starts from, so that they are as coarse as the stage before.
"""

import numpy as np

from mirrorgan_jax import sheets

# Dark to light in even steps of lightness, so that grey prints keep the order.
_ANCHORS = np.array(
    [(26, 22, 66), (98, 33, 120), (182, 54, 101), (240, 118, 60), (252, 236, 164)],
    np.float32,
)
_OPACITY = 0.65


def colors(values):
    """Colours of values in [0, 1].

    Args:
      values: any shape; what lies outside takes the nearest end.

    Returns:
      [..., 3] float32 in [0, 255], from dark blue over red to light yellow.
    """
    values = np.clip(np.asarray(values, np.float32), 0, 1)
    places = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(values, places, channel) for channel in _ANCHORS.T]
    return np.stack(channels, -1).astype(np.float32)


def heat(image, weights, *, cell):
    """A heat map over an image.

    Args:
      image: [q, q, 3] in [-1, 1] or uint8.
      weights: [h, w]; the colours run from its smallest to its largest value, and a
        map of one value is all dark.
      cell: pixels of the result.

    Returns:
      [cell, cell, 3] uint8.
    """
    from PIL import Image

    weights = np.asarray(weights, np.float32)
    spread = weights.max() - weights.min()
    scaled = (weights - weights.min()) / (spread if spread > 0 else 1)
    smooth = Image.fromarray(scaled).resize((cell, cell), Image.Resampling.BILINEAR)
    grey = np.asarray(sheets.tile(image, cell).convert("L"), np.float32)[..., None]
    mixed = _OPACITY * colors(np.asarray(smooth)) + (1 - _OPACITY) * grey
    return np.rint(mixed).astype(np.uint8)


def top_words(weights, num_words, count):
    """The words that a stage attends to most.

    Args:
      weights: [q, q, T] word map of one image.
      num_words: words of its caption; what follows is padding.
      count: how many are wanted.

    Returns:
      positions of at most `count` words in the caption, ranked by the largest weight
      that any pixel gives them; common words take part like all others.
    """
    peaks = np.asarray(weights)[..., :num_words].max((0, 1))
    return np.argsort(-peaks, kind="stable")[:count].tolist()


def sentence_strength(weights):
    """One map of what the sentence does at each pixel.

    Eq. 5's weights have a channel for every feature. Their softmax runs over the
    channels, so that their mean is 1/M at every pixel and says nothing. Their norm
    does: it is 1/sqrt(M) where the sentence enters all channels alike and 1 where it
    enters a single one.

    Args:
      weights: [q, q, M] sentence map of one image.

    Returns:
      [q, q] norm over the channels.
    """
    return np.linalg.norm(np.asarray(weights, np.float32), axis=-1)


def _cell(image, weights, name, cell):
    weights = np.asarray(weights)
    span = f"{weights.min():.2f} to {weights.max():.2f}"
    shown = heat(image, weights, cell=cell)
    return sheets.Cell(shown, (name, sheets.coloured(span, sheets.FAINT)))


def word_cells(image, weights, words, *, count, cell):
    """Cells of the maps of the words that a stage attends to most.

    Args:
      image: [q, q, 3] that the stage made.
      weights: [h, h, T] its word map.
      words: the caption's words.
      count: how many maps.
      cell: pixels of each.

    Returns:
      list of `sheets.Cell`: the word, and the smallest and largest weight of its map.
    """
    chosen = top_words(weights, len(words), count)
    return [_cell(image, weights[..., t], words[t], cell) for t in chosen]


def stages_sheet(images, word_maps, sentence_maps, words, *, title, count=5):
    """The image of every stage, then each later stage's attention (Fig. 5).

    Args:
      images: tuple of [q, q, 3], coarse to fine.
      word_maps: tuple of [h, h, T] of the later stages, None where word attention is
        switched off.
      sentence_maps: tuple of [h, h, M] likewise, shown by `sentence_strength`.
      words: the caption's words.
      title: above everything.
      count: word maps a stage (`top_words`).

    Returns:
      PIL.Image, RGB.
    """
    cell = sheets.cell_size([image[None] for image in images])
    rows = [[sheets.Cell(image, (f"{len(image)} px",)) for image in images]]
    labels = ["images"]
    for number, (image, word_map, sentence_map) in enumerate(
        zip(images[1:], word_maps, sentence_maps, strict=True), 1
    ):
        row = []
        if word_map is not None:
            row += word_cells(image, word_map, words, count=count, cell=cell)
        if sentence_map is not None:
            strength = sentence_strength(sentence_map)
            row.append(_cell(image, strength, "whole sentence", cell))
        if row:
            rows.append(row)
            labels.append(f"attention of stage {number}, {len(images[number - 1])} px")
    return sheets.table(rows, cell=cell, labels=labels, title=title)


def changed_words(first, other):
    """A caption whose words that differ from the first one's are marked.

    Args:
      first, other: strings of as many words.

    Returns:
      [(word, colour)] of the other one, `sheets.AGREES` where they differ.
    """
    return [
        (word, sheets.INK if word == before else sheets.AGREES)
        for before, word in zip(first.split(), other.split(), strict=True)
    ]


def swap_sheet(images, word_maps, words, headings, *, count=2):
    """Images of captions that differ by a word, with the same noise (Fig. 6).

    Args:
      images: [n, q, q, 3] final images, one a caption.
      word_maps: [n, h, h, T] of the last stage, or None without word attention.
      words: n lists of the captions' words.
      headings: n paragraphs above the columns.
      count: word maps a caption (`top_words`).

    Returns:
      PIL.Image, RGB.
    """
    cell = sheets.cell_size([images])
    rows, labels = [[sheets.Cell(image) for image in images]], ["image"]
    if word_maps is not None:
        maps = [
            word_cells(image, weights, own, count=count, cell=cell)
            for image, weights, own in zip(images, word_maps, words, strict=True)
        ]
        for rank in range(max(map(len, maps))):
            rows.append(
                [own[rank] if rank < len(own) else sheets.Cell(None) for own in maps]
            )
            labels.append(f"word of rank {rank + 1}")
    return sheets.table(rows, cell=cell, labels=labels, headings=headings)
