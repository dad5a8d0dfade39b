"""Rank pooling as a transformer of aeon: its own checks, and the same numbers. Run by `nox -s aeon`."""

import numpy as np
import pytest
from aeon.classification.sklearn import RotationForestClassifier
from aeon.pipeline import make_pipeline
from aeon.testing.estimator_checking import check_estimator

import rankpool
from rankpool.aeon import RankPooling

rng = np.random.default_rng(0)
SERIES = [rng.standard_normal((4, n_time)).cumsum(axis=1) for n_time in (9, 14, 5, 30)]  # channels x time
OPTIONS = {"smoothing": "tvm", "feature_map": "posneg", "normalize": "l2", "direction": "both"}


@pytest.mark.parametrize(
    "estimator", [RankPooling(), RankPooling(method="approximate"), RankPooling(**OPTIONS)]
)
def test_checks_of_aeon(estimator):
    results = check_estimator(estimator)
    assert len(results) > 20
    assert set(results.values()) == {"PASSED"}


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_is_rank_pooling_of_the_channels(options):
    expected = [rankpool.rank_pool(series.T, **options) for series in SERIES]
    np.testing.assert_array_equal(RankPooling(**options).fit_transform(SERIES), expected)
    np.testing.assert_array_equal(RankPooling(n_jobs=2, **options).fit_transform(SERIES), expected)


def test_in_a_pipeline_of_aeon():
    """Series that rise in one channel against series that rise in the other."""
    y = np.arange(30) % 2
    X = rng.standard_normal((30, 2, 20))
    X[np.arange(30), y] += np.linspace(0, 4, 20)
    model = make_pipeline(RankPooling(), RotationForestClassifier(n_estimators=5, random_state=0))
    assert (model.fit(X[:20], y[:20]).predict(X[20:]) == y[20:]).mean() > 0.8


def test_a_series_of_one_time_point():
    with pytest.raises(ValueError, match="clip 1: V has 1 frame; rank pooling needs at least 2"):
        RankPooling().fit_transform([SERIES[0], SERIES[1][:, :1]])
