"""Arrays as pictures: levels of grey, heat maps, Pillow's images."""

import numpy as np

# Anchors of the heat map, cold to hot; their luminance rises throughout.
_HEAT = (
    (13, 8, 43),
    (72, 20, 110),
    (151, 36, 110),
    (216, 72, 66),
    (247, 144, 40),
    (250, 242, 168),
)
_SHARE = 0.7  # of the heat map in an overlay; the rest is the image in grey


def to_uint8(images):
    """Images [..., 3] uint8, or float in [-1, 1], as a uint8 NumPy array."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32)
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def heat_colors(values):
    """Colours uint8 [..., 3] of values [...] in [0, 1]; what is outside is clipped."""
    values = np.clip(np.asarray(values, np.float64), 0, 1)
    places = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(values, places, anchors) for anchors in np.transpose(_HEAT)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def overlay(image, values):
    """A map as colours over an image in grey.

    The map's own smallest value is cold and its largest hot; a map of one value is
    cold everywhere.

    Args:
      image: [q, q, 3] in [-1, 1] or uint8.
      values: [h, w], h and w at most q; its coarse pixels stay visible.

    Returns:
      [q, q, 3] uint8.
    """
    image, values = to_uint8(image), np.asarray(values, np.float64)
    low, span = values.min(), np.ptp(values)
    scaled = (values - low) / span if span > 1e-6 else np.zeros_like(values)
    rows, columns = (
        np.arange(size) * have // size
        for size, have in zip(image.shape[:2], values.shape, strict=True)
    )
    heat = heat_colors(scaled)[rows][:, columns].astype(np.float64)
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    mixed = _SHARE * heat + (1 - _SHARE) * grey[..., None]
    return np.rint(mixed).astype(np.uint8)


def sentence_focus(sentence_map):
    """How firmly each pixel picks one channel of the sentence.

    The weights of Eq. 5 sum to 1 over the channels, so that their mean says nothing.
    Their maximum does: 1 / M where a pixel takes every channel of the sentence alike,
    1 where it takes a single one. (With a softmax over positions it is the largest
    share of a channel that falls on the pixel.)

    Args:
      sentence_map: [q, q, M] weights (Eq. 5).

    Returns:
      [q, q] the maximum over channels.
    """
    return np.asarray(sentence_map).max(-1)


def picture(image):
    """Pillow's image of an array [q, q, 3], uint8 or float in [-1, 1]."""
    from PIL import Image

    return Image.fromarray(to_uint8(image))
