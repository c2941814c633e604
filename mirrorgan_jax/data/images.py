"""Pictures: checks, decoding, box crop, resize and crop (paper section 4.1).

The rule is AttnGAN's: a square of 3/4 of the box's longer side around its centre,
the shorter side resized to S * 76/64, then a crop of S x S.
"""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from mirrorgan_jax.data import conversion, formats

# What the decoder of training reads as it should be. The first picture of an MPO,
# which telephones make, is a JPEG.
_PLAIN = ("JPEG", "MPO", "PNG")
# A box may stick out of its picture by this part of the side: real ones, counted
# from 1 or drawn by hand, do by a pixel or two.
_BOX_SLACK = 0.05


def hide_accelerators() -> None:
    """Keeps TensorFlow off the accelerators, whose memory belongs to JAX."""
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_visible_devices([], "TPU")


def resized_shorter_side(image_size: int) -> int:
    """Length of the shorter side before the crop: 304 for 256, 355 for 299."""
    return int(image_size * 76 / 64)


def box_crop(
    box: Sequence[float], width: int, height: int
) -> tuple[int, int, int, int]:
    """Corners (x1, y1, x2, y2) of the square around a box, clipped to the picture.

    Args:
      box: (x, y, width, height) in pixels; fractions are dropped.
      width: of the picture.
      height: of the picture.
    """
    x, y, w, h = (int(v) for v in box)
    radius = int(max(w, h) * 0.75)
    center_x, center_y = int((2 * x + w) / 2), int((2 * y + h) / 2)
    return (
        max(0, center_x - radius),
        max(0, center_y - radius),
        min(width, center_x + radius),
        min(height, center_y + radius),
    )


def box_problem(box: Sequence[float], width: int, height: int) -> str | None:
    """What is wrong with a box in a picture of this size, or None."""
    x, y, w, h = box
    if not np.all(np.isfinite(box)) or w < 1 or h < 1:
        return f"bad box {tuple(box)}: width and height must be at least 1"
    slack_x, slack_y = 1 + _BOX_SLACK * width, 1 + _BOX_SLACK * height
    outside = x < -slack_x or x + w > width + slack_x
    outside = outside or y < -slack_y or y + h > height + slack_y
    x1, y1, x2, y2 = box_crop(box, width, height)
    if outside or x2 <= x1 or y2 <= y1:
        return f"bad box {tuple(box)}: not inside the {width}x{height} picture"
    problem = conversion.size_problem(x2 - x1, y2 - y1)
    return f"bad box {tuple(box)}: cuts out {problem}" if problem else None


@contextlib.contextmanager
def _one_kind_of_error():
    """Whatever damaged bytes raise becomes a ValueError of one sentence."""
    try:
        yield
    except formats.Refused:
        raise
    except tf.errors.OpError as error:
        reason = formats.sentence(error.message)
        raise ValueError(f"corrupt picture: {reason}") from None
    except Exception as error:  # Pillow's readers raise anything on damaged bytes.
        raise ValueError(f"corrupt picture: {formats.sentence(error)}") from None


def _is_plain(image: Image.Image) -> bool:
    if image.format not in _PLAIN or image.mode not in ("RGB", "L"):
        return False
    clear = image.has_transparency_data
    return not clear and conversion.orientation(image) == 1


def check(data: bytes) -> tuple[int, int]:
    """Width and height of the picture as `normalise` stores it.

    Raises:
      ValueError: the bytes are no picture of an allowed format, a damaged one, or one
        beyond the limits of `conversion`; one sentence says which.
    """
    with _one_kind_of_error():
        image = conversion.open_picture(data)
        if _is_plain(image):
            # The decoder of training is the judge: it must not fail in mid-run.
            height, width, _ = decode(data).shape
            return int(width), int(height)
        return conversion.upright_rgb(image, "white").size


def normalise(data: bytes, ground: str = "white") -> bytes:
    """Bytes that every decoder reads alike: JPEG or PNG, grey or RGB, upright.

    Such bytes are returned unchanged. A picture that its EXIF tag turns becomes a JPEG
    of quality 95; every other kind (palette, alpha, 16 bits, CMYK, WebP, ...) becomes
    an RGB PNG. Of an animation the first picture counts.

    Args:
      data: an encoded picture that `check` lets pass.
      ground: what shows where the picture is transparent, "white" or "black".

    Raises:
      ValueError: as `check`.
    """
    with _one_kind_of_error():
        image = conversion.open_picture(data)
        if _is_plain(image):
            return data
        out, turned = io.BytesIO(), conversion.orientation(image) != 1
        picture = conversion.upright_rgb(image, ground)
        if turned:
            picture.save(out, "JPEG", quality=95, subsampling=0)
        else:
            picture.save(out, "PNG")
        return out.getvalue()


def decode(data: bytes | tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 of JPEG or PNG bytes; grey becomes RGB."""
    # The accurate transform is the one that Pillow uses.
    image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    image.set_shape([None, None, 3])
    return image


def decode_example(example: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 picture of a serialised example, cropped to its box.

    Args:
      example: scalar string; its feature `image` is the encoded picture.
      box: as `crop_box` takes it.
    """
    features = {"image": tf.io.FixedLenFeature([], tf.string)}
    data = tf.io.parse_single_example(example, features)["image"]
    return crop_box(decode(data), box)


def crop_resized(
    image: tf.Tensor, image_size: int, draw: tf.Tensor | None = None
) -> tf.Tensor:
    """Shorter side to S * 76/64 as Pillow does it, then a crop of S x S.

    The centre crop is one operation with the resize, so that only its pixels are
    computed. A drawn one has the very bits that a picture kept resized has there: where
    a training picture comes from must not show in what is trained.

    Args:
      image: [H, W, 3] uint8.
      image_size: S.
      draw: [2] int64 >= 0, uniform numbers for the crop's left and top; None crops
        the centre.

    Returns:
      [S, S, 3] uint8.
    """
    scaled = _scaled(image, image_size)
    room = scaled - image_size
    if draw is None:
        return _window(image, [image_size, image_size], scaled, room // 2)
    top, left = tf.unstack(tf.math.floormod(draw[::-1], room + 1))
    picture = resize(image, image_size)
    return picture[top : top + image_size, left : left + image_size]


def resize(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """[h, w, 3] uint8: the shorter side becomes S * 76/64, nothing is cut off."""
    scaled = _scaled(image, image_size)
    return _window(image, tf.cast(scaled, tf.int32), scaled, tf.zeros_like(scaled))


def _scaled(image, image_size: int) -> tf.Tensor:
    """[2] int64 height and width before the crop."""
    size = tf.cast(tf.shape(image)[:2], tf.int64)
    return size * resized_shorter_side(image_size) // tf.reduce_min(size)


def _window(image, window_size, scaled, offset) -> tf.Tensor:
    """The window at `offset` of the picture resized to `scaled` (both [y, x])."""
    size = tf.shape(image)[:2]
    window = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=window_size,
        scale=tf.cast(scaled, tf.float32) / tf.cast(size, tf.float32),
        translation=-tf.cast(offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(window), 0, 255), tf.uint8)


def crop_box(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """The square around `box` ([4] int32; a width of 0 means the whole picture)."""

    def cropped():
        size = tf.shape(image)
        radius = tf.maximum(box[2], box[3]) * 3 // 4
        center = (2 * box[:2] + box[2:]) // 2
        low = tf.maximum(0, center - radius)
        high = tf.minimum(size[1::-1], center + radius)
        return image[low[1] : high[1], low[0] : high[0]]

    return tf.cond(box[2] > 0, cropped, lambda: image)
