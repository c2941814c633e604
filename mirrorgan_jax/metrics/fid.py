"""Frechet Inception Distance between Gaussians of features (Heusel et al. 2017)."""

import hashlib
import io
import json
import zipfile

import numpy as np
from etils import epath

from mirrorgan_jax.metrics import looks
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.workdir import files

TITLE = "FID"
FIRST = "inception_fid"  # the network that it is defined by


class Moments:
    """Mean and covariance of features, in float64, from any number of batches.

    Batches are added around a running mean: a sum of raw squares would lose the digits
    of a small variance beside a large mean.

    Args:
      dim: D.

    Attributes:
      count: features seen.
      mean: [D].
    """

    def __init__(self, dim):
        self.count, self.mean = 0, np.zeros(dim)
        self._scatter = np.zeros((dim, dim))

    def update(self, features):
        """Adds features [b, D].

        Raises:
          ValueError: another shape, or values that are not finite.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(
                f"features have shape {features.shape}: allowed is"
                f" [b, {len(self.mean)}]"
            )
        if not np.isfinite(features).all():
            raise ValueError("features hold values that are not finite")
        if len(features):
            mean = features.mean(0)
            centred = features - mean
            self._add(len(features), mean, centred.T @ centred)

    def merge(self, other):
        """Adds the features of another `Moments`."""
        if other.count:
            self._add(other.count, other.mean, other._scatter)

    def _add(self, count, mean, scatter):
        total = self.count + count
        shift = mean - self.mean
        self._scatter += scatter
        self._scatter += np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def covariance(self):
        """[D, D], divided by count - 1."""
        if self.count < 2:
            raise ValueError(f"{self.count} features: a covariance needs 2 or more")
        return self._scatter / (self.count - 1)

    @classmethod
    def of(cls, count, mean, covariance):
        """The moments that have this count, mean and covariance."""
        moments = cls(len(mean))
        moments.count, moments.mean = int(count), np.array(mean, np.float64)
        moments._scatter = np.array(covariance, np.float64) * (count - 1)
        return moments


def _nonnegative(eigenvalues, scale):
    """Eigenvalues of what is positive semidefinite but for rounding."""
    if eigenvalues.min(initial=0) < -1e-6 * scale:
        raise ValueError(
            f"a covariance has an eigenvalue of {eigenvalues.min():.3g}: it is none"
        )
    return np.maximum(eigenvalues, 0)


def _trace_of_root(a, b):
    """tr((A B)^1/2) = sum of the roots of the eigenvalues of A^1/2 B A^1/2."""
    values, vectors = np.linalg.eigh(a)
    values = _nonnegative(values, values.max(initial=1e-300))
    root = (vectors * np.sqrt(values)) @ vectors.T
    product = root @ b @ root
    values = np.linalg.eigvalsh((product + product.T) / 2)
    return np.sqrt(_nonnegative(values, values.max(initial=1e-300))).sum()


def frechet_distance(a, b):
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2).

    Args:
      a, b: `Moments`.

    Raises:
      ValueError: the dimensions differ, or a side has no more features than they have
        dimensions: its covariance is then singular and the distance far too large.
    """
    dim = len(a.mean)
    if dim != len(b.mean):
        raise ValueError(f"features of {dim} and {len(b.mean)} dimensions")
    fewest = min(a.count, b.count)
    if fewest <= dim:
        raise ValueError(
            f"{fewest} images for {dim} features: their covariance is singular and the"
            f" distance biased upwards; more than {dim} images are needed on each side"
        )
    shift = a.mean - b.mean
    cov_a, cov_b = a.covariance, b.covariance
    traces = np.trace(cov_a) + np.trace(cov_b)
    return float(shift @ shift + traces - 2 * _trace_of_root(cov_a, cov_b))


def _digest(arrays, protocol):
    found = hashlib.sha256(protocol.encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def save_reference(path, moments, protocol):
    """Writes reference statistics to an .npz file.

    Args:
      path: where, local or on a bucket.
      moments: `Moments`.
      protocol: dictionary that JSON can hold: everything they depend on.
    """
    text = json.dumps(protocol, sort_keys=True)
    arrays = {
        "count": np.int64(moments.count),
        "mean": moments.mean,
        "covariance": moments.covariance,
    }
    packed = io.BytesIO()
    np.savez(
        packed,
        **arrays,
        protocol=np.array(text),
        sha256=np.array(_digest(arrays.values(), text)),
    )
    files.write_bytes(path, packed.getvalue())


def load_reference(path, protocol):
    """`Moments` out of the file of `save_reference`.

    Args:
      path: where.
      protocol: what the statistics must have been made under.

    Raises:
      ValueError: no such statistics, changed since, or made under another protocol.
    """
    names = ("count", "mean", "covariance", "protocol", "sha256")
    try:
        data = io.BytesIO(epath.Path(path).read_bytes())
        with np.load(data, allow_pickle=False) as stored:
            *arrays, text, digest = (stored[name] for name in names)
        text, saved = str(text), dict(json.loads(str(text)))
    # A cut or changed archive, an .npy file, and text each fail in a way of their own.
    except (
        OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path}: no reference statistics of ours ({type(error).__name__}); allowed"
            f" is an .npz file with {', '.join(names)}"
        ) from None
    if _digest(arrays, text) != str(digest):
        raise ValueError(f"{path}: contents do not fit their SHA-256; make it anew")
    protocol = json.loads(json.dumps(protocol))  # tuples are lists, as in the file
    for key in sorted(set(saved) | set(protocol)):
        if saved.get(key) != protocol.get(key):
            raise ValueError(
                f"{path}: made under another protocol, {key} = {saved.get(key)!r}"
                f" instead of {protocol.get(key)!r}; give another path or remove it"
            )
    return Moments.of(*arrays)


def reference_moments(observed: Observed, look: looks.Look) -> Moments:
    """Moments of the real images, out of `eval.reference` where that file is.

    Where it is not it is written. Of several networks the file is the first one's:
    the others' moments are always made from the images.

    Raises:
      ValueError: the file was made under another protocol, or is broken.
    """
    network, features = look.network, look.features("real")
    protocol = {
        "data": observed.data,
        "split": "test",
        "images": len(features),
        "crops": f"centre, {look.crop} pixels",
        "network": network.name,
        "weights": network.weights,
        "resize": network.resize,
        **look.scale(),
    }
    is_first = network.name == looks.ordered(observed.looks, FIRST)[0]
    given = observed.settings["reference"] if is_first else ""
    if given and epath.Path(given).exists():
        return load_reference(given, protocol)
    moments = _moments(features)
    if given and hosts.is_first():
        save_reference(given, moments, protocol)
    return moments


def _moments(features):
    moments = Moments(features.shape[1])
    moments.update(features)
    return moments


def measure(observed: Observed) -> dict[str, results.Result | results.Refused]:
    """FID of generated images to the real ones, through every network.

    Raises:
      ValueError: there is no feature network.
    """

    def distance(look, title):
        return _distance(observed, look, title)

    return looks.through_each(observed.looks, TITLE, distance, first=FIRST)


def _distance(observed, look, title):
    """FID through a network; raises as `frechet_distance`, `reference_moments`."""
    reference = reference_moments(observed, look)
    generated = _moments(look.features("generated"))
    distance = frechet_distance(generated, reference)
    return results.Result(
        title=title,
        unit="",
        better="lower",
        protocol={
            "generated": generated.count,
            "real": reference.count,
            "reference": f"test split, centre crops of {look.crop} pixels",
            **look.network.protocol(),
            "features": len(reference.mean),
            **look.scale(),
            "arithmetic": "float64 moments, eigenvalues",
        },
        columns=("value",),
        rows={results.Source("generated"): results.Row({"value": distance})},
    )
