"""R-precision against hand-counted cases and a plain loop."""

import numpy as np
import pytest

from mirrorgan_jax.metrics import r_precision


def test_pools_hold_the_own_caption_first_and_distinct_others():
    groups = np.repeat(np.arange(12), 3)
    groups = np.random.default_rng(0).permutation(groups)
    pools = r_precision.caption_pools(groups, pool_size=20, seed=1)
    assert pools.shape == (36, 20)
    np.testing.assert_array_equal(pools[:, 0], np.arange(36))
    for own, pool in enumerate(pools):
        assert len(set(pool.tolist())) == 20
        assert not (groups[pool[1:]] == groups[own]).any()


def test_pools_reach_every_mismatched_caption():
    pools = r_precision.caption_pools(6, pool_size=6, seed=0)
    np.testing.assert_array_equal(np.sort(pools, 1), np.tile(np.arange(6), (6, 1)))


def test_pools_depend_on_the_seed_only():
    first, again, other = (
        r_precision.caption_pools(40, pool_size=5, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pools_refuse_too_few_captions():
    with pytest.raises(ValueError, match="at most 8"):
        r_precision.caption_pools([0, 0, 0, 1, 1, 2, 2, 3, 3, 4], pool_size=9, seed=0)


def test_r_precision_counts_ranks():
    image = np.array([[2.0, 0.0]] * 4)
    angles = np.array([0.1, 0.2, 0.3, 0.4])
    sentences = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [5], [2], [9]]
    pools = [[own, *(o for o in range(4) if o != own)] for own in range(4)]
    result = r_precision.r_precision(image, sentences, pools)
    assert (result["top1"], result["top2"], result["top3"]) == (0.25, 0.5, 0.75)
    assert result["standard_error"] == pytest.approx(np.sqrt(0.25 * 0.75 / 4))
    assert (result["num_images"], result["pool_size"]) == (4, 4)


def test_r_precision_counts_ties_against_the_image():
    code = np.ones((3, 4))
    pools = r_precision.caption_pools(3, pool_size=3, seed=0)
    result = r_precision.r_precision(code, code, pools)
    assert result["top1"] == result["top2"] == 0 and result["top3"] == 1


def test_r_precision_equals_a_loop_across_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    images, sentences = rng.normal(size=(50, 8)), rng.normal(size=(50, 8))
    pools = r_precision.caption_pools(50, pool_size=10, seed=0)
    monkeypatch.setattr(r_precision, "CHUNK_ELEMENTS", 7 * 80)
    ranks = r_precision.own_ranks(images, sentences, pools)
    for image, pool, rank in zip(images, pools, ranks, strict=True):
        codes = sentences[pool]
        cosine = codes @ image / np.linalg.norm(codes, axis=1) / np.linalg.norm(image)
        assert rank == (cosine[1:] >= cosine[0]).sum()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_r_precision_refuses_codes_that_are_not_finite(bad, which):
    codes = [np.eye(4), np.eye(4)]
    codes[which][2, 1] = bad
    pools = r_precision.caption_pools(4, pool_size=3, seed=0)
    name = ["image_codes", "sentence_codes"][which]
    with pytest.raises(ValueError, match=f"{name}.*number 2"):
        r_precision.r_precision(*codes, pools)


def test_r_precision_refuses_pools_that_do_not_fit():
    with pytest.raises(ValueError, match="allowed are 0 to 2"):
        r_precision.r_precision(np.eye(3), np.eye(3), [[0, 3], [1, 0], [2, 0]])


def test_folds_are_equal_parts_of_the_shuffled_images():
    rng = np.random.default_rng(0)
    images, sentences = rng.normal(size=(2, 43, 8))
    sentences += images
    pools = r_precision.caption_pools(43, pool_size=9, seed=0)
    found = r_precision.r_precision(images, sentences, pools, folds=4, seed=7)
    hits = r_precision.own_ranks(images, sentences, pools) == 0
    assert 0 < hits.mean() < 1
    # By hand: 43 images are parts of 11, 11, 11 and 10, none is dropped.
    order = np.random.default_rng(7).permutation(43)
    cuts = (0, 11, 22, 33, 43)
    shares = [
        hits[order[a:b]].sum() / (b - a) for a, b in zip(cuts, cuts[1:], strict=False)
    ]
    assert found["fold_mean"] == pytest.approx(np.mean(shares), rel=1e-12)
    assert found["fold_deviation"] == pytest.approx(np.std(shares), rel=1e-12)
    assert found["top1"] == pytest.approx(hits.mean(), rel=1e-12)


def test_fewer_images_than_folds_have_no_folds():
    pools = r_precision.caption_pools(4, pool_size=3, seed=0)
    few = r_precision.r_precision(np.eye(4), np.eye(4), pools, folds=5)
    assert "fold_mean" not in few and "fold_deviation" not in few
    assert r_precision.r_precision(np.eye(4), np.eye(4), pools, folds=4)["fold_mean"]
