"""What other people's suites and containers ask of our estimators."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
import scipy.sparse
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

from l21 import L21Selector
from ltogp import LTOGP
from microexpr.discriminant import ShrinkageLDA
from rankpool import HierarchicalRankPooling, RankPooling, RankSVM, rank_pool

# No check is expected to fail. With image_shape, LTOGP takes tables: each row becomes an image of height 1.
CHECKED = [
    L21Selector(n_features_to_select=0.5),
    L21Selector(gamma=("critical", 5.0)),
    L21Selector(gamma="cv", gammas=2, cv=3),
    L21Selector(0.5, loss="squared"),
    L21Selector(0.5, loss="logistic"),
    L21Selector(0.5, task="regression"),
    LTOGP(blocks=(1, 1), image_shape=(1, -1)),
    RankSVM(),
    RankSVM(loss="squared_hinge"),
    ShrinkageLDA(),
    ShrinkageLDA(priors="equal"),
]


# There are few checks for estimators that take no tables.
OF_SEQUENCES = [LTOGP(), RankPooling(), HierarchicalRankPooling()]


# scikit-learn's array-API check runs where this variable is set before SciPy is imported: nox -s conformance.
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{check.func.__name__}-{estimator}")
        for checked in CHECKED
        for estimator, check in estimator_checks_generator(checked)
        if "array_api" not in check.func.__name__ or os.environ.get("SCIPY_ARRAY_API")
    ],
)
@pytest.mark.filterwarnings("ignore:only", "ignore:W = 0")
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", OF_SEQUENCES, ids=str)
def test_scikit_learn_without_tables(estimator):
    for check in (
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ):
        check(type(estimator).__name__, estimator)


# ------------------------------------------------------------------------------------------------ containers

rng = np.random.default_rng(0)
CLASSES = np.repeat(["disgust", "others", "surprise"], 8)
TABLE = rng.standard_normal((24, 12)) + 2.0 * (np.arange(12) % 3 == np.arange(24)[:, None] // 8)
CLIPS = rng.standard_normal((5, 9, 12)).cumsum(axis=1)
NAMES = [f"f{k}" for k in range(12)]


def in_memory_map(array, folder):
    path = folder / "array.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


CONTAINERS = {
    "list": lambda array, folder: array.tolist(),
    "memory map": in_memory_map,
    "pandas": lambda array, folder: pd.DataFrame(array, columns=NAMES),
    "polars": lambda array, folder: polars.DataFrame(array, schema=NAMES),
    "PyArrow": lambda array, folder: pyarrow.table(dict(zip(NAMES, array.T, strict=True))),
}
TABULAR = [
    LTOGP((1, 1), image_shape=(3, 4)),
    L21Selector(4),
    RankSVM(),
    ShrinkageLDA(),
]


def fitted(estimator, X=TABLE):
    return clone(estimator).fit(X, np.arange(24) % 5 if isinstance(estimator, RankSVM) else CLASSES)


def output(estimator, X):
    return estimator.transform(X) if hasattr(estimator, "transform") else estimator.predict(X)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("estimator", TABULAR, ids=lambda e: type(e).__name__)
def test_tables_of_any_kind(estimator, container, tmp_path):
    X = CONTAINERS[container](TABLE, tmp_path)
    expected = output(fitted(estimator), TABLE)
    model = fitted(estimator, X)
    if isinstance(estimator, RankSVM):  # BLAS sums over rows that lie apart in another order
        np.testing.assert_allclose(output(model, X), expected, rtol=1e-9)
    else:
        np.testing.assert_array_equal(output(model, X), expected)
    if container in ("pandas", "polars", "PyArrow"):
        assert list(model.feature_names_in_) == NAMES


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("estimator", [RankPooling(), HierarchicalRankPooling(window=4)])
def test_clips_of_any_kind(estimator, container, tmp_path):
    expected = clone(estimator).fit_transform(CLIPS)
    if container == "memory map":
        clips = in_memory_map(CLIPS, tmp_path)
    else:
        clips = [CONTAINERS[container](clip, tmp_path) for clip in CLIPS]
    model = clone(estimator).fit(clips)
    np.testing.assert_array_equal(model.transform(clips), expected)
    if container in ("pandas", "polars", "PyArrow"):
        assert list(model.feature_names_in_) == NAMES


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(library):
    for estimator in (LTOGP((1, 1), image_shape=(3, 4)), L21Selector(4), RankPooling()):
        clips = isinstance(estimator, RankPooling)
        plain = clone(estimator).fit_transform(CLIPS if clips else TABLE, None if clips else CLASSES)
        table = clone(estimator).set_output(transform=library)
        table = table.fit_transform(CLIPS if clips else TABLE, None if clips else CLASSES)
        assert type(table).__module__.split(".")[0] == library
        np.testing.assert_array_equal(table.to_numpy(), plain)
        assert list(table.columns) == list(fitted_names(estimator))


def fitted_names(estimator):
    if isinstance(estimator, RankPooling):
        return clone(estimator).fit(CLIPS).get_feature_names_out()
    return fitted(estimator).get_feature_names_out()


# ---------------------------------------------------------------------- metadata, dumps, HTML, other code


def test_metadata_reaches_the_estimators_in_a_pipeline():
    """A pipeline routes the subjects to the selector's folds and to those of the cross-validation."""
    subjects = np.tile(np.arange(4), 6)
    with sklearn.config_context(enable_metadata_routing=True):
        selector = L21Selector(4, gamma="cv", gammas=2, cv=3).set_fit_request(groups=True, sample_weight=True)
        svm = LinearSVC().set_fit_request(sample_weight=True)
        svm.set_score_request(sample_weight=True)
        model = make_pipeline(selector, svm)
        routed = {"groups": subjects, "sample_weight": np.ones(24)}
        scores = cross_val_score(model, TABLE, CLASSES, cv=GroupKFold(4), params=routed)
        assert np.isfinite(scores).all()
        model.fit(TABLE, CLASSES, groups=subjects, sample_weight=np.ones(24))
    alone = L21Selector(4, gamma="cv", gammas=2, cv=3).fit(TABLE, CLASSES, np.ones(24), subjects)
    np.testing.assert_array_equal(model[0].W_, alone.W_)


READ_ELSEWHERE = """
import pickle, sys, numpy as np, skops.io
folder = sys.argv[1]
X = np.load(f"{folder}/X.npy")
for k in range(int(sys.argv[2])):
    with open(f"{folder}/{k}.pickle", "rb") as file:
        models = [pickle.load(file)]
    path = f"{folder}/{k}.skops"
    models.append(skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path)))
    for model in models:
        out = model.transform(X) if hasattr(model, "transform") else model.predict(X)
        assert np.array_equal(out, np.load(f"{folder}/{k}.npy", allow_pickle=False)), model
"""


def test_fitted_estimators_are_read_in_another_process(tmp_path):
    """Pickled, and by skops, which lists the types that it does not know: only ours may be among them."""
    np.save(tmp_path / "X.npy", TABLE)
    for k, estimator in enumerate(TABULAR):
        model = fitted(estimator)
        (tmp_path / f"{k}.pickle").write_bytes(pickle.dumps(model))
        skops.io.dump(model, tmp_path / f"{k}.skops")
        unknown = skops.io.get_untrusted_types(file=tmp_path / f"{k}.skops")
        assert all(name.split(".")[0] in ("ltogp", "l21", "rankpool", "microexpr") for name in unknown)
        np.save(tmp_path / f"{k}.npy", output(model, TABLE).astype("U" if k == 3 else float))
    subprocess.run([sys.executable, "-c", READ_ELSEWHERE, str(tmp_path), str(len(TABULAR))], check=True)


@pytest.mark.parametrize("estimator", CHECKED + OF_SEQUENCES, ids=str)
def test_html(estimator):
    html = estimator._repr_html_()
    assert type(estimator).__name__ in html
    assert "sk-" in html


@pytest.mark.parametrize("name", ["none", "ssr", "ref", "tanh"])
def test_numbers_of_rank_pooling_python(name):
    """Its steps (github.com/MRzzm/rank-pooling-python): running mean, map, unit frames, LIBLINEAR's SVR."""
    V = rng.standard_normal((30, 12)).cumsum(axis=0)
    smooth = np.cumsum(V, axis=0) / np.arange(1, 31)[:, None]
    mapped = {
        "none": smooth,
        "ssr": np.sign(smooth) * np.sqrt(np.abs(smooth)),
        "ref": np.hstack([np.sqrt(np.maximum(smooth, 0)), np.sqrt(np.maximum(-smooth, 0))]),
        "tanh": np.tanh(smooth),
    }[name]
    unit = scipy.sparse.csr_matrix(mapped / np.linalg.norm(mapped, axis=1, keepdims=True))
    svr = LinearSVR(
        epsilon=0.1, tol=1e-3, loss="squared_epsilon_insensitive", fit_intercept=False, dual=False
    )
    theirs = svr.fit(unit, np.arange(1, 31)).coef_
    feature_map = {"none": None, "ref": "posneg"}.get(name, name)
    ours = rank_pool(V, method="svr", smoothing="tvm", feature_map=feature_map, normalize="l2", tol=1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9 * np.abs(theirs).max())
