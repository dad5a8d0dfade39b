"""ltogp.LTOGP as a scikit-learn transformer."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import ltogp
from ltogp import LTOGP

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 20, 30), dtype=np.uint8)


def test_stack_list_and_table_agree():
    expected = ltogp.histogram(IMAGES, (4, 3), radius=2, mode="wrap")
    descriptor = LTOGP((4, 3), radius=2, mode="wrap")
    np.testing.assert_array_equal(descriptor.fit_transform(IMAGES), expected)
    np.testing.assert_array_equal(descriptor.transform(list(IMAGES)), expected)
    series = pd.Series(list(IMAGES), index=range(5, 17))
    np.testing.assert_array_equal(descriptor.transform(series), expected)
    table = IMAGES.reshape(12, -1)
    descriptor.set_params(image_shape=(20, 30))
    np.testing.assert_array_equal(descriptor.fit_transform(table), expected)
    np.testing.assert_array_equal(descriptor.fit_transform(pd.DataFrame(table.astype(np.int64))), expected)


def test_images_of_different_sizes():
    images = [IMAGES[0], IMAGES[1, :9, :8], IMAGES[2, 3:, 5:]]
    V = LTOGP().fit_transform(images)
    for image, row in zip(images, V, strict=True):
        np.testing.assert_array_equal(row, ltogp.histogram(image))


def test_templates():
    templates = np.random.default_rng(1).standard_normal((8, 3, 3))
    V = LTOGP(templates=templates, n_jobs=1).fit_transform(IMAGES)
    np.testing.assert_array_equal(V, ltogp.histogram(IMAGES, templates=templates))


def test_feature_names_say_block_and_code():
    image = np.zeros((6, 9), np.uint8)
    image[1, 7] = 1  # in block (0, 1) of 3 x 2; its left neighbour's code is 254
    descriptor = LTOGP((3, 2)).fit(image[None])
    counts = dict(zip(descriptor.get_feature_names_out(), descriptor.transform(image[None])[0], strict=True))
    assert len(counts) == 3 * 2 * 256
    assert counts["block0_1_code254"] == 1
    assert counts["block0_0_code255"] == 8
    assert sum(counts.values()) == 54


@pytest.mark.parametrize("mapping", ["default", "ror", "uniform", "nri_uniform"])
def test_options_reach_the_histogram(mapping):
    options = {
        "radius": (2, 1),
        "mode": "mirror",
        "mapping": mapping,
        "overlap": 0.25,
        "mask": RNG.random((20, 30)) < 0.5,
        "normalize": "l1-sqrt",
    }
    descriptor = LTOGP((3, 4), **options)
    V = descriptor.fit_transform(IMAGES)
    np.testing.assert_array_equal(V, ltogp.histogram(IMAGES, (3, 4), **options))
    assert len(descriptor.get_feature_names_out()) == V.shape[1]
    np.testing.assert_array_equal(clone(descriptor).fit(IMAGES).transform(list(IMAGES)), V)


def test_feature_names_say_radius_and_bin():
    image = np.zeros((6, 9), np.uint8)
    image[1, 6] = 1  # at radius 2 its neighbours two steps away have one bit off: seven ones
    descriptor = LTOGP((2, 3), radius=(1, 2), mapping="uniform").fit(image[None])
    names = descriptor.get_feature_names_out()
    assert names[[0, 9, 10, 60, -1]].tolist() == [
        "radius1_block0_0_uniform0",
        "radius1_block0_0_uniform9",
        "radius1_block0_1_uniform0",
        "radius2_block0_0_uniform0",
        "radius2_block1_2_uniform9",
    ]
    counts = dict(zip(names, descriptor.transform(image[None])[0], strict=True))
    assert counts["radius1_block0_1_uniform7"] == 3  # (0, 5), (1, 5) and (2, 5)
    assert counts["radius2_block0_1_uniform7"] == 1  # (1, 4)
    assert counts["radius2_block1_1_uniform7"] == 1  # (3, 4)
    assert LTOGP((1, 1), mapping="ror").get_feature_names_out()[[0, -1]].tolist() == [
        "block0_0_ror00",
        "block0_0_ror35",
    ]
    assert LTOGP((1, 1), radius=[1]).get_feature_names_out()[7] == "radius1_block0_0_code007"


def test_grid_search_over_options():
    grid = {
        "ltogp__mapping": ["ror", "uniform"],
        "ltogp__normalize": [None, "l1"],
        "ltogp__overlap": [0, 0.5],
    }
    y = np.arange(12) % 2
    X = IMAGES.copy()
    X[y == 1] = X[y == 1, :1]
    search = GridSearchCV(make_pipeline(LTOGP((2, 2)), LogisticRegression()), grid, cv=2, error_score="raise")
    assert search.fit(X, y).best_score_ == 1


def test_set_output():
    frame = LTOGP((2, 2)).set_output(transform="pandas").fit_transform(IMAGES)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns[[0, -1]]) == ["block0_0_code000", "block1_1_code255"]


def test_pipeline_and_grid_search():
    y = np.arange(12) % 2
    X = IMAGES.copy()
    X[y == 1] = X[y == 1, :1]  # stripes
    model = make_pipeline(LTOGP((1, 1)), LogisticRegression())
    search = GridSearchCV(model, {"ltogp__blocks": [(1, 1), (2, 3)], "ltogp__radius": [1, 2]}, cv=2)
    search.fit(X, y)
    assert search.best_score_ == 1
    assert search.predict(X).tolist() == y.tolist()


def test_clone_and_pickle():
    descriptor = LTOGP((3, 3), radius=2, mode="mirror")
    for other in (clone(descriptor), pickle.loads(pickle.dumps(descriptor))):
        assert other.get_params() == descriptor.get_params()
        np.testing.assert_array_equal(other.transform(IMAGES), descriptor.transform(IMAGES))


@pytest.mark.parametrize(
    ("descriptor", "X", "error", "message"),
    [
        (LTOGP(), IMAGES[0], ValueError, "X has shape (20, 30); must be (n, H, W) or a list of images"),
        (LTOGP(), IMAGES[:0], ValueError, "X has shape (0, 20, 30): it holds no image"),
        (LTOGP(), [], ValueError, "must be (n, H, W) or a list of images"),
        (LTOGP(), IMAGES.astype(complex), TypeError, "X has dtype complex128; must be bool, an integer"),
        (LTOGP(), [IMAGES[0].astype(object)], TypeError, "X[0] has dtype object; must be bool"),
        (LTOGP(), np.ma.masked_equal(IMAGES, 0), TypeError, "masked array"),
        (LTOGP(blocks=(21, 1)), IMAGES, ValueError, "blocks is (21, 1)"),
        (LTOGP(radius=-1), IMAGES, ValueError, "radius is -1"),
        (LTOGP(mode="edge"), list(IMAGES), ValueError, "mode is 'edge'"),
        (LTOGP(mapping="var"), IMAGES, ValueError, "mapping is 'var'"),
        (LTOGP(normalize="max"), IMAGES, ValueError, "normalize is 'max'"),
        (LTOGP(overlap=1), IMAGES, ValueError, "overlap is 1;"),
        (LTOGP(radius=(1, -2)), IMAGES, ValueError, "radius is (1, -2)"),
        (
            LTOGP(mask=np.ones((20, 31), bool)),
            IMAGES,
            ValueError,
            "mask has shape (20, 31); must be (20, 30)",
        ),
        (LTOGP(image_shape=(5, 7)), IMAGES[0], ValueError, "X has 30 columns, and image_shape is (5, 7)"),
        (LTOGP(image_shape=30), IMAGES[0], ValueError, "X has 30 columns, and image_shape is 30"),
    ],
)
def test_bad_input(descriptor, X, error, message):
    for method in (descriptor.fit, descriptor.transform):
        with pytest.raises(error, match=re.escape(message)):
            method(X)
