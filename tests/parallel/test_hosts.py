"""Flags of a cluster, and whose fault an error is."""

import jax
import pytest

from mirrorgan_jax.parallel import hosts


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"mode": "maybe"}, "--distributed=maybe: allowed are auto, on, off"),
        ({"num_processes": 2}, "give all three or none"),
        ({"coordinator_address": "a:1", "process_id": 0}, "give all three or none"),
        (
            {
                "mode": "off",
                "coordinator_address": "a:1",
                "num_processes": 1,
                "process_id": 0,
            },
            "has no meaning",
        ),
    ],
)
def test_flags_that_describe_no_cluster_are_refused(flags, said):
    mode = flags.pop("mode", "auto")
    with pytest.raises(ValueError, match=said):
        hosts.initialize(mode, **flags)


@pytest.mark.parametrize(
    ("error", "count", "is_lost"),
    [
        (jax.errors.JaxRuntimeError("UNKNOWN: Connection closed by peer"), 2, True),
        (jax.errors.JaxRuntimeError("UNKNOWN: Connection closed by peer"), 1, False),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: memory"), 2, False),
        (KeyError("own fault"), 2, False),
    ],
)
def test_own_faults_are_not_put_on_others(monkeypatch, error, count, is_lost):
    monkeypatch.setattr(jax, "process_count", lambda: count)
    assert bool(hosts.lost(error)) == is_lost
