"""R-precision among captions of other classes: no distractor fits by its class."""

from mirrorgan_jax.metrics import r_precision
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "R-precision, captions of other classes"


def measure(observed: Observed) -> results.Result:
    """R-precision among captions of other classes.

    Raises:
      ValueError: there are none.
    """
    if observed.class_pools is None:
        raise ValueError("all test images are of one class")
    pools = observed.class_pools
    return r_precision.among(observed, TITLE, pools, "captions of other classes")
