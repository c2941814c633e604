"""CUB-200-2011 as people have it, with pictures that the test draws."""

import pathlib
import pickle

from PIL import Image

from mirrorgan_jax import text

NAMES = ("002.Red/Red_1", "002.Red/Red_2", "001.Blue/Blue_1")
# What Python 2 wrote for [numpy.int64(2), numpy.int64(2)], protocol 0.
PYTHON2 = (
    b"(lp0\ncnumpy.core.multiarray\nscalar\np1\n(cnumpy\ndtype\np2\n(S'i8'\np3\nI0\n"
    b"I1\ntp4\nRp5\n(I3\nS'<'\np6\nNNNI-1\nI-1\nI0\ntp7\nbS'\\x02\\x00\\x00\\x00\\x00"
    b"\\x00\\x00\\x00'\np8\ntp9\nRp10\nag10\na."
)


def write(root: pathlib.Path) -> pathlib.Path:
    """Two training pictures of class 2 and one test picture of class 1."""
    lists = root / "CUB_200_2011"
    for number, name in enumerate(NAMES, 1):
        for path in (lists / f"images/{name}.jpg", root / f"text/{name}.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
        color = (200, 0, 0) if name.startswith("002") else (0, 0, 200)
        Image.new("RGB", (60, 40), color).save(lists / f"images/{name}.jpg")
        lines = [f"a bird, number {number}.", "", *["the bird"] * 11]
        (root / f"text/{name}.txt").write_text("\n".join(lines) + "\n")
    (lists / "images.txt").write_text(
        "".join(f"{i} {name}.jpg\n" for i, name in enumerate(NAMES, 1))
    )
    (lists / "bounding_boxes.txt").write_text(
        "1 10.0 5.0 20.0 10.0\n2 0.0 0.0 60.0 40.0\n3 1.0 1.0 60.0 40.0\n"
    )
    for split, part in (("train", NAMES[:2]), ("test", NAMES[2:])):
        (root / split).mkdir()
        (root / split / "filenames.pickle").write_bytes(pickle.dumps(list(part), 0))
    (root / "train/class_info.pickle").write_bytes(PYTHON2)
    (root / "test/class_info.pickle").write_bytes(pickle.dumps([1], 2))
    return root


def attngan_captions(root: pathlib.Path) -> list:
    """The value of captions.pickle for a folder of `write`, words in sorted order."""
    tokens = {
        name: [
            text.tokenize(line)
            for line in (root / f"text/{name}.txt").read_text().split("\n")
            if text.tokenize(line)
        ][:10]
        for name in NAMES
    }
    every = {word for own in tokens.values() for caption in own for word in caption}
    words = ["<end>", *sorted(every | {"unused"})]
    numbers = {word: number for number, word in enumerate(words)}
    captions = [
        [[numbers[word] for word in own] for name in part for own in tokens[name]]
        for part in (NAMES[:2], NAMES[2:])
    ]
    return [*captions, dict(enumerate(words)), numbers]
