"""Mirror accuracy against counts made by hand."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import mirror


def test_survival_counts_every_asked_attribute():
    asked = [{"body": "red", "wing": "blue"}, {"crown": "white", "belly": "gray"}]
    said = [{"body": "red", "wing": "black", "crown": "red"}, {"belly": "gray"}]
    assert mirror.survival(asked, said) == {
        "survived": 0.5, "contradicted": 0.25, "unsaid": 0.25,
        "agreement": pytest.approx(2 / 3), "mentions": 4,
    }  # fmt: skip


def test_nothing_said_leaves_agreement_undefined():
    values = mirror.survival([{"body": "red"}], [{}])
    assert values["unsaid"] == 1 and np.isnan(values["agreement"])


@pytest.mark.parametrize(("asked", "said"), [([{}], []), ([{}], [{"body": "red"}])])
def test_nothing_to_survive_is_refused(asked, said):
    with pytest.raises(ValueError, match="captions"):
        mirror.survival(asked, said)
