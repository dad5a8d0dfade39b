"""Kinds of input of rank_svm: lists, dtypes, memory order, times, and what is refused."""

import numpy as np
import pytest

import rankpool
from rankpool import approximate_rank_pool, rank_svm


def walk(T, d, seed=0, drift=0.0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(T, d)) + drift, axis=0)


def test_dtypes_and_layouts_agree():
    counts = np.random.default_rng(0).integers(0, 50, (14, 300))
    expected = rank_svm(counts.astype(np.float64)).u
    for dtype in ("u1", "u2", "i4", "i8", "f2", "f4", ">f8", ">i4"):
        np.testing.assert_allclose(rank_svm(counts.astype(dtype)).u, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(rank_svm(np.asfortranarray(counts)).u, rank_svm(counts).u)
    np.testing.assert_array_equal(rank_svm(counts.tolist()).u, rank_svm(counts).u)
    np.testing.assert_array_equal(rank_svm(counts > 25).u, rank_svm((counts > 25).astype(int)).u)


def test_whole_numbers_too_large_for_float32_are_exact():
    """Dot products beyond 2^24 leave float32 behind, in the middle of the panels too."""
    rng = np.random.default_rng(1)
    V = rng.integers(0, 5, (70, 6000))
    V[:, 4000:] = rng.integers(0, 2**23, (70, 2000))
    V[:, 5000] = rng.normal(size=70) * 1000
    from rankpool._frames import gram

    for frames in (V, V.astype(np.float64), np.where(np.arange(6000) == 100, V + 0.5, V)):
        offset = frames.astype(np.float64) - frames[0].astype(np.float64)
        np.testing.assert_allclose(gram(frames), offset @ offset.T, rtol=1e-12)
    np.testing.assert_array_equal(gram(V[:, :4000]), (V - V[0])[:, :4000] @ (V - V[0])[:, :4000].T)


def test_reversed_frames_flip_the_sign():
    V = walk(12, 5)
    np.testing.assert_allclose(rank_svm(V[::-1], tol=1e-10).u, -rank_svm(V, tol=1e-10).u, atol=1e-5)


GOOD = np.arange(12.0).reshape(4, 3) ** 2


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"V": GOOD[:1]}, ValueError, "V has 1 frame; rank pooling needs at least 2"),
        ({"V": GOOD[:0]}, ValueError, "V has 0 frames"),
        ({"V": GOOD[:, :0]}, ValueError, "0 features"),
        ({"V": GOOD[0]}, ValueError, "V has 1 dimensions"),
        ({"V": GOOD[None]}, ValueError, "V has 3 dimensions"),
        ({"V": GOOD + 1j}, TypeError, "complex128"),
        ({"V": [["a", "b"], ["c", "d"]]}, TypeError, "real numbers"),
        ({"V": [[None, 1.0], [2.0, 3.0]]}, ValueError, r"V\[0, 0\] is nan"),
        ({"C": 0}, ValueError, "C is 0; it must be positive"),
        ({"C": -1.0}, ValueError, "C is"),
        ({"C": np.nan}, ValueError, "C is nan"),
        ({"C": np.inf}, ValueError, "C is inf"),
        ({"C": "1"}, TypeError, "C is '1'"),
        ({"C": True}, TypeError, "C is True"),
        ({"tol": 0.0}, ValueError, "tol is 0.0"),
        ({"tol": -1e-6}, ValueError, "tol is"),
        ({"max_iter": 0}, ValueError, "max_iter is 0"),
        ({"max_iter": 1.5}, ValueError, "max_iter is 1.5"),
        ({"loss": "logistic"}, ValueError, "loss is 'logistic'"),
        ({"times": [1, 2, 3]}, ValueError, r"times has shape \(3,\); V has 4 frames"),
        ({"times": [[1, 2, 3, 4]]}, ValueError, "times has shape"),
        ({"times": [1, 2, np.nan, 4]}, ValueError, r"times\[2\] is nan"),
        ({"times": ["a", "b", "c", "d"]}, TypeError, "times has dtype"),
        ({"times": [5, 5, 5, 5]}, ValueError, "times are all equal"),
    ],
)
def test_errors(change, error, match):
    with pytest.raises(error, match=match):
        rank_svm(**({"V": GOOD} | change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("frame", [0, 1, 2, 3])
def test_not_finite(frame, dtype, value):
    V = GOOD.astype(dtype)
    V[frame, 1] = value
    for function in (rank_svm, approximate_rank_pool, rankpool.rank_pool):
        with pytest.raises(ValueError, match=rf"V\[{frame}, 1\] is -?(nan|inf); V must be finite"):
            function(V[:, :])


def test_features_beyond_float64_squared():
    with pytest.raises(ValueError, match="overflows"):
        rank_svm(GOOD * 1e200)
    with pytest.raises(ValueError, match="underflows"):
        rank_svm(GOOD * 1e-200)


def test_a_sparse_sequence_beyond_the_reach_of_float64():
    import scipy.sparse

    V = scipy.sparse.csr_array(GOOD)
    with pytest.raises(ValueError, match="V overflows"):
        rank_svm(V * 1e200)
    with pytest.raises(ValueError, match="V underflows"):
        rank_svm(V * 1e-200)
    assert rank_svm(V * 0).objective == 6
