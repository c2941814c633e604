"""Drawing of one toy bird: smooth outlines, supersampled (our embedded data set).

Outlines are closed curves in the bird's own frame: facing right, x forward, y down,
body centre at the origin, about 2.5 units from the tip of the tail to the bill. A
pose bends them, a similarity puts them into the unit square of the image, and only
the last step knows pixels: the same random numbers give the same bird at any size.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

COLORS = {
    "red": (208, 28, 36),
    "orange": (246, 132, 22),
    "yellow": (250, 220, 50),
    "green": (36, 146, 64),
    "blue": (42, 92, 214),
    "brown": (120, 70, 36),
    "black": (32, 31, 37),
    "white": (244, 243, 239),
    "gray": (140, 143, 152),
}
MIN_SIZE, MAX_SIZE = 16, 256

_STEPS = 8  # Samples of a curve between two control points.
_SCALES = {"small": 0.285, "large": 0.34}
_HEADS = {"small": 1.06, "large": 0.97}
_BILLS = {"short": (0.22, 0.13), "long": (0.52, 0.10)}  # Length, half thickness.
_HEAD_CENTER = np.array([0.58, -0.50])
_NECK = np.array([0.34, -0.20])
_TAIL_ROOT = np.array([-0.50, 0.08])

# The silhouette, from the bill over crown, nape, back, vent, belly, breast to chin.
_SILHOUETTE = np.array([
    [0.94, -0.60], [0.84, -0.79], [0.60, -0.89], [0.34, -0.80],
    [0.18, -0.57], [-0.06, -0.41], [-0.44, -0.20], [-0.76, 0.05],
    [-0.74, 0.27], [-0.42, 0.48], [-0.02, 0.57], [0.36, 0.46],
    [0.64, 0.16], [0.76, -0.12], [0.82, -0.29], [0.93, -0.44],
])  # fmt: skip
# How far each point follows the head when that is turned or scaled.
_HEAD_WEIGHT = np.array([1, 1, 1, 1, 0.7, 0.15, 0, 0, 0, 0, 0, 0, 0, 0.25, 0.7, 1.0])
# How far each point follows the belly when that is rounder or slimmer.
_BELLY_WEIGHT = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0.5, 0.9, 1, 0.9, 0.4, 0, 0, 0.0])
# Crown and belly share a stretch of the silhouette and close it with these points.
_CROWN_SPAN, _CROWN_INNER = (0, 4), np.array([[0.38, -0.52], [0.70, -0.56]])
_BELLY_SPAN, _BELLY_INNER = (8, 13), np.array([[0.5, 0.15], [0.06, 0.22], [-0.4, 0.24]])
_WING = np.array([
    [0.28, -0.04], [0.18, -0.19], [-0.04, -0.21], [-0.36, -0.09],
    [-0.64, 0.06], [-0.88, 0.24], [-0.58, 0.22], [-0.22, 0.20],
    [0.11, 0.14],
])  # fmt: skip
# Feathers: from the middle of the wing towards its tip.
_FEATHERS = np.array(
    [
        [[-0.06, -0.04], [-0.40, 0.03], [-0.68, 0.16]],
        [[-0.06, 0.05], [-0.34, 0.09], [-0.56, 0.18]],
        [[-0.02, 0.11], [-0.20, 0.14], [-0.40, 0.18]],
    ]
)
_TAIL = np.array([
    [-0.40, -0.16], [-0.78, 0.05], [-1.22, 0.27], [-1.27, 0.37],
    [-1.16, 0.43], [-0.76, 0.33], [-0.40, 0.28],
])  # fmt: skip
_HIPS = np.array([[-0.10, 0.46], [0.14, 0.46]])
_LEG_LENGTH = 0.34

# Muted colours of far top and bottom, so that every bird colour stands out.
_BACKGROUNDS = (
    ((188, 208, 226), (206, 214, 190)),
    ((196, 212, 196), (166, 186, 150)),
    ((222, 214, 194), (196, 194, 160)),
    ((204, 212, 218), (184, 194, 186)),
)
_GROUND = (146, 150, 108)
_BRANCH = (104, 82, 66)
_LEG = (92, 70, 58)


@dataclasses.dataclass(frozen=True)
class _Pose:
    """Everything random about one drawing, in units of the image's width."""

    mirrored: bool
    tilt: float
    head_turn: float
    tail_turn: float
    roundness: float
    scale: float
    shift: tuple[float, float]
    perched: bool
    slope: float
    background: int
    bokeh: np.ndarray
    gain: float
    warmth: float
    light: float

    @classmethod
    def sample(cls, rng):
        # Uniform doubles only: NumPy may change how it makes other distributions.
        u = rng.random(14).tolist()
        signed = [2.0 * value - 1.0 for value in u]
        return cls(
            mirrored=u[0] < 0.5,
            tilt=0.14 * signed[1],
            head_turn=0.16 * signed[2],
            tail_turn=0.16 * signed[3],
            roundness=1.0 + 0.07 * signed[4],
            scale=1.0 + 0.04 * signed[5],
            shift=(0.035 * signed[6], 0.035 * signed[7]),
            perched=u[8] < 0.65,
            slope=0.10 * signed[9],
            background=int(len(_BACKGROUNDS) * u[10]),
            bokeh=rng.random((5, 5)) * 2.0 - 1.0,
            gain=1.0 + 0.08 * signed[11],
            warmth=0.03 * signed[12],
            light=0.5 * signed[13],
        )


def _open_curve(points):
    """Smooth curve through [N, 2] points; the ends are doubled."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    return np.concatenate([_spline(padded), points[-1:]])


def _closed_curve(points):
    """Smooth closed curve; point i of [N, 2] is sample i * _STEPS."""
    return _spline(np.concatenate([points[-1:], points, points[:2]]))


def _spline(points):
    """Uniform Catmull-Rom segments between points 1 .. N - 2 of [N, 2]."""
    a, b, c, d = (points[i : len(points) - 3 + i, None] for i in range(4))
    t = np.arange(_STEPS)[:, None] / _STEPS
    curve = b + 0.5 * t * (
        c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))
    )
    return curve.reshape(-1, 2)


def _rotation(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])  # For rows: points @ matrix.


def _outlines(attributes, pose):
    """Curves of one posed bird, {part: [N, 2]}, in its own frame."""
    turn = _rotation(pose.head_turn)
    head_scale = _HEADS[attributes["size"]]

    def with_head(points):
        grown = _HEAD_CENTER + (points - _HEAD_CENTER) * head_scale
        return (grown - _NECK) @ turn + _NECK

    points = _SILHOUETTE * [1.0, 1.0]
    points[:, 1] *= 1.0 + (pose.roundness - 1.0) * _BELLY_WEIGHT
    points += _HEAD_WEIGHT[:, None] * (with_head(points) - points)
    body = _closed_curve(points)

    def cut(span, inner):
        edge = body[span[0] * _STEPS : span[1] * _STEPS + 1]
        closing = _open_curve(np.concatenate([edge[-1:], inner, edge[:1]]))
        return np.concatenate([edge, closing[1:-1]])

    length, half = _BILLS[attributes["bill_length"]]
    upper = [[0.84, -0.53 - half], [0.92 + 0.5 * length, -0.52 - 0.62 * half]]
    lower = [[0.92 + 0.5 * length, -0.52 + 0.45 * half], [0.84, -0.52 + half]]
    tip = [0.94 + length, -0.49]
    eye = with_head(np.array([[0.71, -0.495]]))
    tail_turn = _rotation(pose.tail_turn)
    return {
        "tail": (_closed_curve(_TAIL) - _TAIL_ROOT) @ tail_turn + _TAIL_ROOT,
        "bill": with_head(np.array([*upper, tip, *lower])),
        "gape": with_head(np.array([[0.90, -0.515], tip])),
        "body": body,
        "belly": cut(_BELLY_SPAN, _BELLY_INNER),
        "crown": cut(_CROWN_SPAN, with_head(_CROWN_INNER)),
        "wing": _closed_curve(_WING),
        "feather0": _FEATHERS[0],
        "feather1": _FEATHERS[1],
        "feather2": _FEATHERS[2],
        "eye": eye,
        "hips": _HIPS,
    }


def _place(outlines, attributes, pose):
    """Moves the outlines into the unit square of the image.

    Returns:
      The placed outlines with `feet` added, the box (x0, y0, x1, y1) around the bird
      and the length of the bird's unit.
    """
    unit = _SCALES[attributes["size"]] * pose.scale
    matrix = unit * _rotation(pose.tilt) * ([-1.0, 1.0] if pose.mirrored else 1.0)
    placed = {name: points @ matrix for name, points in outlines.items()}
    hips = placed["hips"]
    foot_y = hips[:, 1].mean() + unit * _LEG_LENGTH
    drop = pose.slope * (hips[:, 0] - hips[:, 0].mean()) if pose.perched else 0.0
    placed["feet"] = np.stack([hips[:, 0], foot_y + drop + 0 * hips[:, 0]], axis=-1)
    everything = np.concatenate(list(placed.values()))
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.025
    middle = np.array([0.5, 0.5]) + pose.shift - 0.5 * (low + high)
    offset = np.minimum(np.maximum(middle, margin - low), 1.0 - margin - high)
    placed = {name: points + offset for name, points in placed.items()}
    return placed, np.concatenate([low + offset, high + offset]), unit


def _edge_color(color):
    """A darker shade for outlines; a lighter one where there is nothing darker."""
    if sum(color) < 150:
        return tuple(value + 44 for value in color)
    return tuple(int(0.62 * value) for value in color)


def _background(pose, size, factor):
    """Soft gradient with a few out-of-focus patches, `factor` times `size` wide."""
    top, bottom = (np.array(c, float) for c in _BACKGROUNDS[pose.background])
    height = np.linspace(0.0, 1.0, 5)[:, None, None]
    grid = top + (bottom - top) * height + 9.0 * pose.bokeh[..., None]
    small = Image.fromarray(np.clip(np.rint(grid), 0, 255).astype(np.uint8))
    smooth = small.resize((size, size), Image.Resampling.BICUBIC)
    return smooth.resize((factor * size, factor * size), Image.Resampling.NEAREST)


class _Pen:
    """Draws in the coordinates of the unit square."""

    def __init__(self, image):
        self._draw = ImageDraw.Draw(image)
        self._canvas = image.width

    def _pixels(self, points):
        # Sixteenths of a pixel, so that the last bit of a sine cannot matter.
        scaled = np.rint(points * (16 * self._canvas)) / 16 - 0.5
        return [tuple(point) for point in scaled.tolist()]

    def fill(self, points, color):
        self._draw.polygon(self._pixels(points), fill=color)

    def stroke(self, points, color, width):
        width = max(1, round(width * self._canvas))
        self._draw.line(self._pixels(points), fill=color, width=width, joint="curve")

    def dot(self, center, radius, color):
        corners = self._pixels(np.array([center - radius, center + radius]))
        self._draw.ellipse([*corners[0], *corners[1]], fill=color)


def _draw_perch(pen, pose, feet, unit):
    """The branch or the ground under the bird."""
    x, y = feet.mean(axis=0)
    ends = np.array([-0.05, 1.05])
    if not pose.perched:
        ground = np.array([[-0.1, y - 0.02], [1.1, y - 0.02], [1.1, 1.1], [-0.1, 1.1]])
        pen.fill(ground, _GROUND)
        angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        shadow = tuple(int(0.84 * value) for value in _GROUND)
        pen.fill([x, y + 0.005] + circle * [0.8 * unit, 0.08 * unit], shadow)
        return
    line = np.stack([ends, y + 0.022 + pose.slope * (ends - x)], axis=-1)
    pen.stroke(line, tuple(int(0.78 * value) for value in _BRANCH), 0.052)
    pen.stroke(line - [0.0, 0.008], _BRANCH, 0.034)


def _draw_bird(pen, parts, attributes, unit):
    """All parts of the bird, back to front."""
    color = {
        name: COLORS[attributes[name]] for name in ("body", "wing", "belly", "crown")
    }
    color["tail"] = tuple(int(0.86 * value) for value in color["body"])
    color["bill"] = COLORS[attributes["bill_color"]]
    edge = {name: _edge_color(value) for name, value in color.items()}
    thin = 0.035 * unit
    for hip, foot in zip(parts["hips"], parts["feet"], strict=True):
        pen.stroke(np.array([hip, foot]), _LEG, 0.055 * unit)
        toes = np.array([[-0.09, 0.03], [0.0, -0.01], [0.09, 0.03]])
        pen.stroke(foot + unit * toes, _LEG, 0.05 * unit)
    for name in ("tail", "bill", "body"):
        pen.fill(parts[name], color[name])
        pen.stroke(_closed(parts[name]), edge[name], thin)
    for name in ("belly", "crown"):
        pen.fill(parts[name], color[name])
        # Only the outer stretch has an edge: plumage has none inside.
        span = _BELLY_SPAN if name == "belly" else _CROWN_SPAN
        outer = parts[name][: (span[1] - span[0]) * _STEPS + 1]
        pen.stroke(outer, edge[name], thin)
    pen.stroke(parts["gape"], edge["bill"], 0.03 * unit)
    pen.fill(parts["wing"], color["wing"])
    pen.stroke(_closed(parts["wing"]), edge["wing"], 0.05 * unit)
    for i in range(len(_FEATHERS)):
        feather = _open_curve(parts[f"feather{i}"])
        pen.stroke(feather, edge["wing"], 0.022 * unit)
    eye = parts["eye"][0]
    pen.dot(eye, 0.105 * unit, (236, 232, 222))
    pen.dot(eye, 0.082 * unit, (22, 20, 24))
    pen.dot(eye + unit * np.array([-0.022, -0.030]), 0.028 * unit, (255, 255, 255))


def _closed(points):
    return np.concatenate([points, points[:2]])


def _lit(image, box, pose):
    """Light from above: the bird's upper side brighter, its lower side in shade."""
    size = image.width
    y, x = ((np.arange(size) + 0.5) / size for _ in range(2))
    x0, y0, x1, y1 = box
    u = (2.0 * x - x0 - x1) / (x1 - x0)
    v = (2.0 * y - y0 - y1) / (y1 - y0)
    near = np.exp(-1.2 * (u[None, :] ** 2 + v[:, None] ** 2))
    side = v[:, None] + pose.light * u[None, :]
    shade = pose.gain * (1.0 - 0.22 * near * side)
    tint = np.array([1.0 + pose.warmth, 1.0, 1.0 - pose.warmth])
    lit = np.asarray(image, np.float64) * shade[..., None] * tint
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """One bird in its place within the unit square; no pixel is drawn yet.

    Attributes:
      attributes: {attribute: value}: `body`, `wing`, `belly`, `crown` and
        `bill_color` name entries of `COLORS`; `bill_length` is short or long, `size`
        small or large.
    """

    attributes: Mapping[str, str]
    _pose: _Pose
    _parts: Mapping[str, np.ndarray]
    _corners: np.ndarray  # x0, y0, x1, y1 around the bird
    _unit: float

    @classmethod
    def sample(
        cls, attributes: Mapping[str, str], rng: np.random.Generator
    ) -> "Sketch":
        """A bird with random pose, place, light and background."""
        pose = _Pose.sample(rng)
        placed = _place(_outlines(attributes, pose), attributes, pose)
        return cls(attributes, pose, *placed)

    def box(self, size: int) -> tuple[float, float, float, float]:
        """The bird's box (x, y, width, height) in a picture of `size` pixels."""
        x0, y0, x1, y1 = (_checked(size) * self._corners).tolist()
        return x0, y0, x1 - x0, y1 - y0

    def draw(self, size: int) -> np.ndarray:
        """[size, size, 3] uint8 picture.

        Raises:
          ValueError: `size` is not 16 to 256 pixels.
        """
        factor = 4 if _checked(size) <= 128 else 3
        image = _background(self._pose, size, factor)
        pen = _Pen(image)
        _draw_perch(pen, self._pose, self._parts["feet"], self._unit)
        _draw_bird(pen, self._parts, self.attributes, self._unit)
        return _lit(image.reduce(factor), self._corners, self._pose)


def _checked(size):
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size = {size}: allowed are {MIN_SIZE} to {MAX_SIZE} pixels")
    return size
