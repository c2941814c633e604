"""The paper's figures of a finished run: a `Model` and captions to a picture."""

import collections

import numpy as np

from mirrorgan_jax import text
from mirrorgan_jax.inference import functions, pictures
from mirrorgan_jax.report import attention, sheets

_COLUMNS = 8  # examples beside one another
# Vectors of a smaller angle, or opposite ones, have no arc to walk along.
_STRAIGHT = 1e-4


def marked(redescription, caption):
    """The words of a redescription, those that it kept of the caption marked.

    A word is kept when the caption has it and it says what is to be seen
    (`text.telling`); one that is said more often than in the caption is kept only as
    often as the caption has it.

    Args:
      redescription: words with spaces between them.
      caption: the words of the caption.

    Returns:
      [(word, colour)], `sheets.AGREES` or `sheets.FAINT`.
    """
    left, words = collections.Counter(caption), []
    for word in redescription.split():
        agrees = left[word] > 0 and text.telling(word)
        left[word] -= agrees
        words.append((word, sheets.AGREES if agrees else sheets.FAINT))
    return words


def redescribed(model, images, captions):
    """What STREAM says of images, and the scores of their captions.

    Where its texts do not end by themselves, each has as many words as the caption.

    Args:
      model: `Model` with STREAM.
      images: [n, q, q, 3] in [-1, 1].
      captions: n strings.

    Returns:
      n pairs: `marked` words, and the caption's score (lower is better) as text.
    """
    counts = model.num_words
    if not model.ends:
        counts = [len(caption.words) for caption in model.read(captions)]
    said = model.redescribe(images, counts)
    scores = model.caption_scores(images, captions)
    return [
        (marked(words, model.vocab.tokenize(caption)), f"{score:.2f} nats a word")
        for words, caption, score in zip(said, captions, scores, strict=True)
    ]


def methods(models, captions, *, real=None, seed=0, truncation=1.0):
    """One column a caption, one row a method, the ground truth last (Fig. 3).

    Args:
      models: {name of the method: `Model`}.
      captions: n strings.
      real: [n, q, q, 3] images in [-1, 1] or uint8, or None.
      seed, truncation: as `Model.generate` takes them; methods with noise of one
        size share it.

    Returns:
      PIL.Image, RGB.

    Raises:
      ValueError: images and captions do not fit together.
    """
    rows = {
        name: model.generate(captions, seed=seed, truncation=truncation).images[-1]
        for name, model in models.items()
    }
    if real is not None:
        if len(real) != len(captions):
            raise ValueError(f"{len(real)} real images and {len(captions)} captions")
        rows["ground truth"] = real
    cell = sheets.cell_size(rows.values())
    return sheets.stacked(
        [
            sheets.table(
                [
                    [sheets.Cell(image) for image in images[at : at + _COLUMNS]]
                    for images in rows.values()
                ],
                cell=cell,
                labels=list(rows),
                headings=captions[at : at + _COLUMNS],
            )
            for at in range(0, len(captions), _COLUMNS)
        ]
    )


def stages(model, captions, *, seed=0, truncation=1.0):
    """`overlays.stages_sheet` of each caption, below one another (Fig. 5)."""
    made = model.generate(captions, seed=seed, truncation=truncation)

    def of_one(maps, index):
        return tuple(None if m is None else m[index] for m in maps)

    return sheets.stacked(
        [
            attention.stages_sheet(
                of_one(made.images, index),
                of_one(made.word_maps, index),
                of_one(made.sentence_maps, index),
                made.words[index],
                title=caption,
            )
            for index, caption in enumerate(captions)
        ]
    )


def swapped(model, caption, swaps):
    """A caption and copies of it with one word replaced, wherever it stands.

    Args:
      model: the `Model` whose words count.
      caption: string; what the model does not see of it is left out.
      swaps: [(old, new)] words, one pair a copy.

    Returns:
      1 + len(swaps) strings.

    Raises:
      ValueError: an old word is not in the caption, or a new one is unknown.
    """
    words = model.read([caption])[0].words
    found = [" ".join(words)]
    for old, new in swaps:
        if old not in words:
            raise ValueError(
                f"cannot replace {old!r}: allowed are the words of the caption that"
                f" the model sees, {' '.join(words)!r}"
            )
        if new not in model.vocab:
            raise ValueError(
                f"cannot put {new!r} in the place of {old!r}: allowed are the"
                f" {len(model.vocab)} words of the vocabulary"
            )
        found.append(" ".join(new if word == old else word for word in words))
    return found


def swap(model, caption, swaps, *, seed=0, truncation=1.0):
    """Images of a caption and of copies with one word replaced (Fig. 6).

    All have the same noise; under each are the two strongest word maps of the last
    stage. Arguments and errors as `swapped` and `Model.generate`.
    """
    captions = swapped(model, caption, swaps)
    made = model.generate(captions, seed=seed, truncation=truncation)
    return attention.swap_sheet(
        made.images[-1],
        made.word_maps[-1] if made.word_maps else None,
        made.words,
        [attention.changed_words(captions[0], other) for other in captions],
    )


def spherical(first, last, shares):
    """Points on the arc between two vectors.

    A straight line between two Gaussian vectors passes through shorter ones than the
    generator was trained on; the arc does not.

    Args:
      first, last: [Z].
      shares: [k] in [0, 1], 0 the first vector and 1 the last.

    Returns:
      [k, Z]; a straight line where the vectors have no arc between them.
    """
    first, last = np.asarray(first, np.float64), np.asarray(last, np.float64)
    shares = np.asarray(shares, np.float64)[:, None]
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    cosine = first @ last / lengths if lengths else 1.0
    angle = np.arccos(np.clip(cosine, -1, 1))
    if min(angle, np.pi - angle) < _STRAIGHT:
        return (1 - shares) * first + shares * last
    weights = np.sin((1 - shares) * angle), np.sin(shares * angle)
    return (weights[0] * first + weights[1] * last) / np.sin(angle)


def _between_captions(model, captions, shares):
    """`functions.Features` on the way from one caption to the other."""
    both = model.features(captions)
    nearer = (shares >= 0.5).astype(int)
    line = (1 - shares[:, None]) * both.sentence[0] + shares[:, None] * both.sentence[1]
    return functions.Features(
        line.astype(both.sentence.dtype), both.words[nearer], both.mask[nearer]
    )


def interpolation(model, caption, *, to=None, steps=7, seed=0, truncation=1.0):
    """Images on the way between two noises and, with `to`, between two captions.

    The first row walks from the noise of image 0 to that of image 1: z along
    `spherical`; eps along a straight line, which is one between the two augmented
    sentences (Eq. 2). The second row keeps the noise of image 0 and walks from the
    caption to `to`: the sentence vector along a straight line; word features, whose
    number differs from caption to caption, are those of the nearer caption.

    Args:
      model: `Model`.
      caption: string.
      to: string, or None.
      steps: images of a row, 2 or more.
      seed, truncation: as `Model.generate` takes them.

    Returns:
      PIL.Image, RGB.

    Raises:
      ValueError: `steps` is too small, or `Model.generate` would refuse.
    """
    if steps < 2:
        raise ValueError(f"steps = {steps}: allowed are 2 and more")
    shares = np.linspace(0, 1, steps)
    z, eps = model.noise(seed, [0, 1])
    eps_line = (1 - shares[:, None]) * eps[0] + shares[:, None] * eps[1]
    made = model.generate(
        [caption], n=steps, truncation=truncation,
        z=spherical(z[0], z[1], shares), eps=eps_line,
    )  # fmt: skip
    rows, labels = [made.images[-1]], ["from noise to noise"]
    if to is not None:
        fixed = (np.repeat(x[:1] * np.float32(truncation), steps, 0) for x in (z, eps))
        features = _between_captions(model, [caption, to], shares)
        rows.append(model.synthesize(features, *fixed).images[-1])
        labels.append("from caption to caption")
    return sheets.table(
        [
            [
                sheets.Cell(image, (f"{share:.2f}",))
                for image, share in zip(row, shares, strict=True)
            ]
            for row in rows
        ],
        cell=sheets.cell_size(rows),
        labels=labels,
        title=caption if to is None else f"{caption} / {to}",
    )


def redescription(model, captions, *, real=None, seed=0, truncation=1.0):
    """Images with their caption, what STREAM says of them and how well both fit.

    Words that agree with the caption (`marked`) are underlined. The score is the mean
    cross entropy of the caption; lower is better.

    Args:
      model: `Model` with STREAM.
      captions: n strings.
      real: [n, q, q, 3] the captions' true images, a second row, or None.
      seed, truncation: as `Model.generate` takes them.

    Returns:
      PIL.Image, RGB.

    Raises:
      ValueError: the model has no STREAM, or `Model.generate` would refuse.
    """
    made = model.generate(captions, seed=seed, truncation=truncation)
    sources = {"generated": made.images[-1]}
    if real is not None:
        sources["real"] = pictures.to_uint8(real).astype(np.float32) / 127.5 - 1
    cells = {
        name: [
            sheets.Cell(image, (said, sheets.coloured(score, sheets.FAINT)))
            for image, (said, score) in zip(
                images, redescribed(model, images, captions), strict=True
            )
        ]
        for name, images in sources.items()
    }
    return sheets.stacked(
        [
            sheets.table(
                [row[at : at + _COLUMNS] for row in cells.values()],
                cell=sheets.cell_size(sources.values()),
                labels=list(cells),
                headings=captions[at : at + _COLUMNS],
            )
            for at in range(0, len(captions), _COLUMNS)
        ]
    )
