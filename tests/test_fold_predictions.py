"""One pass over a fold against scikit-learn's parts, one by one."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from microexpr.experiment import folds


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("Cs", [[1e-4, 1e-2, 1.0, 1e2, 1e4], [1e4, 1.0, 1e-4, 1e2], [1.0]])
@pytest.mark.parametrize("seed", range(3))
def test_svm_of_every_C_is_fitted_alone(seed, Cs, class_weight, monkeypatch):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, 60, p=[0.6, 0.3, 0.1])
    X = rng.standard_normal((60, 200)) + 0.3 * y[:, None]
    gram, gram_test = X[:40] @ X[:40].T, X[40:] @ X[:40].T
    expected = [
        SVC(C=C, kernel="precomputed", class_weight=class_weight).fit(gram, y[:40]).predict(gram_test)
        for C in Cs
    ]
    fitted = []
    monkeypatch.setattr(folds, "SVC", lambda **options: fitted.append(options["C"]) or SVC(**options))
    found = folds._svm_predictions(gram, gram_test, y[:40], Cs, class_weight)
    np.testing.assert_array_equal(found, expected)
    assert not {1e2, 1e4} & set(fitted)  # 200 features separate 40 clips: the margin is hard from C = 1 on


def test_svm_of_clips_that_overlap_has_use_for_a_larger_C(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.integers(0, 2, 60)
    Cs, fitted = [1e-2, 1.0, 10.0], []
    expected = [SVC(C=C, kernel="precomputed").fit(X @ X.T, y).predict(X @ X.T) for C in Cs]
    monkeypatch.setattr(folds, "SVC", lambda **options: fitted.append(options["C"]) or SVC(**options))
    np.testing.assert_array_equal(folds._svm_predictions(X @ X.T, X @ X.T, y, Cs, None), expected)
    assert fitted == Cs


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_standardised_in_parts_has_the_bits_of_one_scaler(dtype):
    rng = np.random.default_rng(0)
    X = (100 * rng.random((30, 5000))).astype(dtype)
    X[:, ::7] = 3  # constant features
    before = X.copy()
    train, test = np.arange(0, 30, 2), np.arange(1, 30, 2)
    scaler = StandardScaler().fit(X[train])
    Z, Z_test = folds._standardised(X, train, test)
    np.testing.assert_array_equal(Z, scaler.transform(X[train]), strict=True)
    np.testing.assert_array_equal(Z_test, scaler.transform(X[test]), strict=True)
    np.testing.assert_array_equal(X, before)
