"""The captions of CUB-200-2011: a text file a picture, or AttnGAN's pickle of all.

`captions.pickle` holds [captions of train, of test, words by number, numbers by word],
ten captions a picture in the order of `filenames.pickle`, each a list of numbers. The
numbers are what AttnGAN's released text encoders know, so its words are the vocabulary,
in its order, wherever it lies.
"""

from collections.abc import Mapping, Sequence

from mirrorgan_jax import text
from mirrorgan_jax.data import captions as checks
from mirrorgan_jax.data.sources import cub_layout, cub_split, records

PER_IMAGE = 10
MISSING = (
    "no captions: they are not part of Caltech's archive; ten a picture were collected"
    " for 'Learning Deep Representations of Fine-Grained Visual Descriptions' (2016),"
    " and come with AttnGAN's and MirrorGAN's preprocessed metadata for birds. Put"
    " text/<class>/<image>.txt, text_c10/<class>/<image>.txt or captions.pickle beside"
    " CUB_200_2011/, as they are or as the archive that holds them"
)


def read_text(
    place: cub_layout.Place, name: str, rule: str, problems: list[str]
) -> list[str]:
    """The first ten captions of a picture's file.

    A blank line is none, one that cannot be read is an error.

    Args:
      place: the folder of the classes' folders.
      name: `<class>/<image>`.
      rule: of words, `data.words`.
      problems: what is wrong is appended here.
    """
    where = place.where(f"{name}.txt")
    try:
        lines = place.read(f"{name}.txt").decode("utf-8").split("\n")
    except (OSError, KeyError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | KeyError)
        problems.append(f"{where}: {'missing' if missing else error}")
        return []
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or len(found) == PER_IMAGE:
            continue
        problem = checks.problem(line, rule)
        if problem:
            problems.append(f"{where}:{number}: {problem}")
        else:
            found.append(line.strip())
    if not found:
        problems.append(f"{where}:1: no caption")
    return found


def read_pickle(
    place: cub_layout.Place, problems: list[str]
) -> tuple[dict[str, list[str]], tuple[str, ...]] | None:
    """Captions by split, as words joined by spaces, and the vocabulary; or None.

    Args:
      place: the folder of `captions.pickle`.
      problems: what is wrong is appended here.
    """
    where = place.where(cub_layout.CAPTIONS)
    value = cub_layout.unpickled(place, cub_layout.CAPTIONS, problems)
    if value is None:
        return None
    try:
        parts = (
            "that AttnGAN writes: captions of train, of test, words by number, numbers"
            " by word"
        )
        if not isinstance(value, list | tuple):
            raise ValueError(f"{records.shown(value)}, not the four parts {parts}")
        if len(value) != 4:
            raise ValueError(f"{len(value)} parts, not the four {parts}")
        words = _words(value[2], value[3])
        captions = {
            split: _decoded(own, words, split)
            for split, own in zip(records.SPLITS, value[:2], strict=True)
        }
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None
    return captions, words


def _words(by_number: object, by_word: object) -> tuple[str, ...]:
    """The words in the order of their numbers, checked."""
    if not isinstance(by_number, dict) or not isinstance(by_word, dict):
        raise ValueError("its third and fourth part are no dictionaries of words")
    words = []
    for number in range(len(by_number)):
        word = by_number.get(number)
        word = word.decode("latin1") if isinstance(word, bytes) else word
        if not isinstance(word, str):
            raise ValueError(f"word {number} is {records.shown(word)}, not a string")
        if number and text.tokenize(word) != [word]:
            raise ValueError(
                f"word {number}, {records.shown(word)}, is no word of the paper's rule"
                " (lower case, letters and digits of ASCII)"
            )
        words.append(word)
    text.Vocabulary(words)  # `<end>` first, none twice.
    numbers = {
        word.decode("latin1") if isinstance(word, bytes) else word: number
        for word, number in by_word.items()
    }
    if numbers != {word: number for number, word in enumerate(words)}:
        raise ValueError("numbers by word are not those of words by number")
    return tuple(words)


def _decoded(captions: object, words: Sequence[str], split: str) -> list[str]:
    if not isinstance(captions, list | tuple):
        raise ValueError(f"captions of {split}: {records.shown(captions)}, not a list")
    found = []
    for number, caption in enumerate(captions):
        known = isinstance(caption, list | tuple) and caption
        if not known or not all(type(i) is int and 0 < i < len(words) for i in caption):
            raise ValueError(
                f"caption {number} of {split} is no list of numbers from 1 to"
                f" {len(words) - 1}"
            )
        found.append(" ".join(words[i] for i in caption))
    return found


def by_picture(
    captions: Mapping[str, Sequence[str]],
    items: Mapping[str, Sequence[cub_split.Item]],
    where: str,
    problems: list[str],
) -> dict[str, list[str]]:
    """The captions of a pickle by the name of their picture.

    Args:
      captions: by split, as `read_pickle` gives them.
      items: the pictures of each split, in the order of their pickle.
      where: how messages name the pickle.
      problems: what is wrong is appended here.
    """
    found = {}
    for split, own in items.items():
        count = len(captions[split])
        if count != PER_IMAGE * len(own):
            problems.append(
                f"{where}: {count:,} captions of {split} for {len(own):,} pictures,"
                f" not {PER_IMAGE} each: it belongs to other lists of pictures"
            )
            continue
        for i, item in enumerate(own):
            found[item.name] = list(captions[split][PER_IMAGE * i :][:PER_IMAGE])
    return found


def difference(
    texts: Mapping[str, Sequence[str]],
    pickled: Mapping[str, Sequence[str]],
    where: str,
) -> str | None:
    """How captions of text files differ from those of a pickle; None: by no word."""
    different = [
        name
        for name, own in pickled.items()
        if [" ".join(text.tokenize(caption)) for caption in texts.get(name, ())] != own
    ]
    if not different:
        return None
    name = different[0]
    first = records.shown(pickled[name][0])
    written = records.shown(next(iter(texts.get(name, ())), None))
    return (
        f"{where}: captions of {len(different):,} pictures are not those of the text"
        f" files: {name} has {first}, its file {written}; one of both is of another"
        " data set, or of another order of pictures: take it away"
    )


def unknown(texts: Mapping[str, Sequence[str]], words: Sequence[str]) -> list[str]:
    """Words of captions that a vocabulary lacks, each once."""
    known = set(words)
    tokens = (w for own in texts.values() for c in own for w in text.tokenize(c))
    return [word for word in dict.fromkeys(tokens) if word not in known]
