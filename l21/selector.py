"""scikit-learn's feature selector around `solve`, and around the same penalty with other losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import LinearRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv
from sklearn.svm import SVC
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._blas import one_blas_thread
from ._parallel import received, share
from ._samples import Samples, check_reach, plain_targets, target_kind
from .losses import solve_logistic, solve_squared
from .problem import (
    Floats,
    check_gamma,
    correlations,
    refuse_masked,
    row_norms,
    unit_rows,
)
from .solvers import L21Result, solve


class L21Selector(SelectorMixin, BaseEstimator):
    """Select features by the rows of the W that minimises γ‖XW - Y‖_{2,1} + ‖W‖_{2,1}.

    Y is the one-hot classes, or targets of a regression (see `task`). X is used as given, and its scale
    decides: the problem has no solution but W = 0 where γ <= `critical_gamma`, and multiplying X by s is the
    same as multiplying γ by s. Standardise first, inside the pipeline so that it is fitted on the training
    fold only.

    Features rank by the length of their row, ‖W_j‖. Rows that are zero rank after them, by how near they are
    to entering, ‖(XᵀΛ)_j‖ <= 1, with Λ the dual optimum; equal ones by their index.

    Parameters
    ----------
    n_features_to_select : int, float or None, default None
        How many features to keep: a count, a fraction of all features (rounded, at least one), or None for
        those with a non-zero row. With fewer non-zero rows than asked for, a warning says so and the nearest
        ones fill up.
    gamma : float, ("critical", factor) or "cv", default 1.0
        γ; or a multiple of the largest γ at which W = 0 is optimal, so that ("critical", 10) is the same
        problem at any scale of X; or "cv": the multiple is chosen by cross-validation inside `fit`.
    loss : {"l21", "squared", "logistic"}, default "l21"
        Eq. (4), or the same penalty with another loss: see `solve_squared` (MultiTaskLasso, scikit-feature's
        `ls_l21`) and `solve_logistic` (`ll_l21`). γ multiplies each of them.
    task : {"auto", "classification", "regression"}, default "auto"
        What y (n,) is. "auto" asks scikit-learn's `type_of_target`: floats with a fractional part are a
        regression, anything else is classes; say "regression" for whole numbers that are quantities. A y
        (n, c) is targets as it is: labels where it holds 0 and 1 only, else a regression. Eq. (4) has no
        intercept, and classes and labels get none; the targets of a regression are centred at their medians
        (`intercept_`), which one far-off sample does not move. Centre X as well.
    solver : {"auto", "newton", "irls"}, default "auto"
        See `solve`; for loss="l21".
    tol : float, default 1e-6
        Relative duality gap to solve to.
    max_iter : int, optional
        Most steps of the solver.
    cv : int, splitter or iterable, default 5
        For gamma="cv": folds, stratified for classes. Where `fit` gets groups and this is a number, no group
        is in two folds.
    gammas : int or array, default 8
        For gamma="cv": the multiples of the critical γ to try, or how many between 1.5 and 150. The critical
        γ is that of all of X, in every fold.
    scoring : str or callable, optional
        For gamma="cv": a scikit-learn scorer. With classes it scores a linear SVM (C = 1) on the selected
        features, by default its accuracy; with labels or a regression it scores the prediction XW +
        intercept, by default by its mean distance to y, negative. Of equal scores the smallest γ wins.
    n_jobs : int, optional
        For gamma="cv": folds at a time, as in joblib: -1 is every core, -2 every core but one. Whatever
        backend `joblib.parallel_config` names runs them, Dask's too; the result has the same bits.

    Attributes
    ----------
    W_ : array (d, c)
        W, a row for each feature, as in Nie et al.
    coef_ : array (c, d)
        Wᵀ, as scikit-learn has it: `RFE` and `SelectFromModel` rank features by its columns.
    intercept_ : array (c,)
        Medians of the targets of a regression, else 0.
    dual_ : array (n, c)
        Λ; 0 for samples of weight 0.
    dual_gap_ : float
        Certified relative duality gap.
    objective_ : float
    gamma_ : float
        γ as a number.
    cv_results_ : dict of arrays
        For gamma="cv": `gamma`, `factor`, `mean_test_score`, `std_test_score` and `split0_test_score`, ...;
        `pandas.DataFrame` makes a table of it.
    scores_ : array (d,)
        ‖W_j‖ where it is not zero, ‖(XᵀΛ)_j‖ - 1 <= 0 elsewhere: in falling order, the ranking.
    ranking_ : array (d,) of int
        1 for the best feature, d for the last.
    support_ : array (d,) of bool
        The selected features.
    residuals_ : array (n,)
        ‖(XW - Y)_i‖, how far each sample is off (with the logistic loss, the probabilities). NaN for samples
        of weight 0. `plot_residuals` shows them.
    zero_residual_ : array (n,) of bool
        The samples that are met: residual at most √tol times the longest row of Y. Centred X without
        intercept meets no one-hot row exactly.
    outliers_ : array of int
        The other samples, by falling residual: the first ones may be mislabelled. A sample of a rare class is
        further off than one of a frequent class.
    n_iter_ : int
        Steps of the solver.
    classes_ : array (c,)
        Only with classes.
    n_features_in_ : int
    feature_names_in_ : array (d,)
        Only when X has feature names that are all strings.

    References
    ----------
    F. Nie, H. Huang, X. Cai, C. Ding: Efficient and robust feature selection via joint ℓ2,1-norms
    minimization, NIPS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> selector = L21Selector(n_features_to_select=2).fit(StandardScaler().fit_transform(X), y)
    >>> selector.get_support(indices=True)
    array([2, 3])

    γ by cross-validation, and a regression:

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> selector = L21Selector(gamma="cv", task="regression").fit(StandardScaler().fit_transform(X), y)
    >>> selector.get_support().sum() > 3
    np.True_
    """

    def __init__(
        self,
        n_features_to_select: int | float | None = None,
        gamma: float | str | tuple[str, float] = 1.0,
        *,
        loss: str = "l21",
        task: str = "auto",
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
        cv: Any = 5,
        gammas: int | ArrayLike = 8,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_features_to_select = n_features_to_select
        self.gamma = gamma
        self.loss = loss
        self.task = task
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.cv = cv
        self.gammas = gammas
        self.scoring = scoring
        self.n_jobs = n_jobs

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> L21Selector:
        """Solve for W and rank the features.

        Parameters
        ----------
        X : array or sparse matrix (n, d)
        y : array (n,), (n, 1) or (n, c)
            Class labels, at least two classes, or targets: see `task`. Numbers, booleans or strings; also as
            objects, if all are strings or all are numbers, and as pandas' nullable types without a missing
            value.
        sample_weight : array (n,), optional
            Multiplies γ of each sample; weight 0 leaves the sample out.
        groups : array (n,), optional
            For gamma="cv": the subject of each sample, for the splitter. In a pipeline:
            `fit(X, y, l21selector__groups=...)`, or `set_fit_request(groups=True)` and metadata routing.

        Raises
        ------
        ValueError
            On NaN, infinity, missing or masked entries, on fewer than two classes, on parameters out of their
            range, and where X, y or γ are outside the range that `solve` certifies.

        Warns
        -----
        UserWarning
            Where W = 0, or fewer rows of W are non-zero than features asked for.
        sklearn.exceptions.ConvergenceWarning
            Where the solver stopped above `tol`; `dual_gap_` has the gap. With gamma="cv" also where the
            linear SVM of a fold was stopped: standardise X.
        """
        for name, array in {"X": X, "y": y, "sample_weight": sample_weight, "groups": groups}.items():
            refuse_masked(name, array)
        X, y = validate_data(
            self,
            X,
            plain_targets(y),
            dtype=[np.float64, np.float32],
            accept_sparse=("csr", "csc"),
            multi_output=True,
        )
        if self.loss not in ("l21", "squared", "logistic"):
            raise ValueError(f"loss needs to be 'l21', 'squared' or 'logistic', got {self.loss!r}")
        if self.solver not in ("auto", "newton", "irls"):
            raise ValueError(f"solver needs to be 'auto', 'newton' or 'irls', got {self.solver!r}")
        (n, d), n_select = X.shape, _number_to_select(self.n_features_to_select, X.shape[1])
        weights = np.ones(n)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = np.flatnonzero(weights > 0.0)
        y = y.toarray() if issparse(y) else y
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        kind = target_kind(y[kept], self.task)
        check_reach(X, y if kind == "regression" else None)
        samples = Samples.of(X, y, weights, kind)
        if self.loss == "logistic" and samples.kind == "regression":
            raise ValueError("loss='logistic' needs classes, or labels 0 and 1; y is continuous")
        if samples.kind == "classes":
            self.classes_ = samples.classes
        elif hasattr(self, "classes_"):
            del self.classes_  # of an earlier fit

        if isinstance(self.gamma, str) and self.gamma == "cv":
            self.gamma_, self.cv_results_ = self._cross_validate(X, y, weights, groups, samples, n_select)
        else:
            self.gamma_ = _gamma_value(self.gamma, samples, self.loss)
        result = self._solve(samples, self.gamma_)
        self.W_, self.coef_, self.objective_ = result.W, result.W.T, result.objective
        self.intercept_ = samples.intercept
        self.dual_ = np.zeros((n, samples.Y.shape[1]))
        self.dual_[kept] = result.dual
        self.dual_gap_, self.n_iter_ = result.gap, result.n_iter

        self.residuals_ = np.full(n, np.nan)
        self.residuals_[kept] = result.residuals
        self.zero_residual_ = self.residuals_ <= np.sqrt(self.tol) * row_norms(samples.Y).max()
        largest_first = kept[np.argsort(-self.residuals_[kept], kind="stable")]
        self.outliers_ = largest_first[~self.zero_residual_[largest_first]]

        self.scores_, order = _rank(samples.X, result)
        self.ranking_ = np.empty(d, dtype=np.intp)
        self.ranking_[order] = np.arange(1, d + 1)
        n_rows = np.count_nonzero(result.W.any(axis=1))
        if n_rows == 0:
            warnings.warn(
                f"W = 0: gamma={self.gamma_:.4g} is not above the critical gamma of this X and y, so "
                "features rank only by how near they are to entering; standardise X or raise gamma, "
                "or use gamma=('critical', factor) with a factor above 1",
                UserWarning,
                stacklevel=2,
            )
        elif n_select is not None and n_rows < n_select:
            warnings.warn(
                f"only {n_rows} rows of W are non-zero at gamma={self.gamma_:.4g}; the other "
                f"{n_select - n_rows} of {n_select} features are those nearest to entering; "
                "a larger gamma gives more non-zero rows",
                UserWarning,
                stacklevel=2,
            )
        self.support_ = self.ranking_ <= (n_rows if n_select is None else n_select)
        return self

    def _solve(self, samples: Samples, gamma: float, W0: Floats | None = None) -> L21Result:
        X, Y = samples.X, samples.Y
        radius = gamma * samples.weights
        check_gamma(gamma, len(Y))
        check_gamma(radius, len(Y), "gamma * sample_weight")
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "W0": W0}
        if self.loss == "squared":
            return solve_squared(X, Y, radius, **options)
        if self.loss == "logistic":
            return solve_logistic(X, Y, radius, **options)
        return solve(X, Y, radius, solver=self.solver, **options)

    def _cross_validate(
        self, X: Any, y: Any, weights: Floats, groups: Any, samples: Samples, n_select: int | None
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        """Return the best γ, and the table of all."""
        if isinstance(self.gammas, Integral) and self.gammas >= 1:
            factors = np.geomspace(1.5, 150.0, int(self.gammas))
        else:
            factors = np.unique(np.asarray(self.gammas, dtype=np.float64))
            if factors.size == 0 or not (np.isfinite(factors).all() and factors[0] > 0.0):
                raise ValueError(f"gammas needs to be a count, or positive factors, got {self.gammas!r}")
        gammas = factors * _critical_gamma(samples, self.loss)
        cv, classes = self.cv, samples.kind == "classes"
        if groups is not None and (cv is None or isinstance(cv, Integral)):
            cv = (StratifiedGroupKFold if classes else GroupKFold)(n_splits=5 if cv is None else int(cv))
        splits = check_cv(cv, y, classifier=classes).split(X, y, groups)
        # Without what an earlier fit left, and the splitter: a task takes no more along than it needs.
        bare = L21Selector(
            loss=self.loss, solver=self.solver, tol=self.tol, max_iter=self.max_iter, scoring=self.scoring
        )
        data = share(X, y, weights, samples.classes, gammas)
        scores = np.array(
            Parallel(n_jobs=self.n_jobs)(
                delayed(bare._score_fold)(data, samples.kind, n_select, (train, test))
                for train, test in splits
            )
        )
        mean = scores.mean(axis=0)
        if not np.isfinite(mean).all():
            raise ValueError(f"scoring={self.scoring!r} gave NaN or infinity at gamma={gammas}: {mean}")
        table = {"gamma": gammas, "factor": factors, "mean_test_score": mean}
        table["std_test_score"] = scores.std(axis=0)
        table |= {f"split{k}_test_score": score for k, score in enumerate(scores)}
        return float(gammas[mean.argmax()]), table

    @one_blas_thread()  # for the SVM and the scorer
    def _score_fold(
        self, data: Any, kind: str, n_select: int | None, fold: tuple[NDArray[Any], NDArray[Any]]
    ) -> list[float]:
        """Score one fold at every γ, from the smallest up, each started from the one before."""
        X, y, weights, classes, gammas = received(data)
        # Weight 0 leaves a sample out of the test as well: its class may be in no other sample.
        train, test = (
            part[weights[part] > 0.0]
            for part in (np.arange(len(weights))[fold[0]], np.arange(len(weights))[fold[1]])
        )
        part = Samples.of(X[train], y[train], weights[train], kind, classes)
        weighted = {} if (weights == 1.0).all() else {"sample_weight": weights[test]}
        W, scores = None, []
        for gamma in gammas:
            result = self._solve(part, gamma, W)
            W = result.W
            model: Any
            if kind == "classes":
                n_rows = np.count_nonzero(W.any(axis=1))
                features = np.sort(_rank(part.X, result)[1][: n_rows if n_select is None else n_select])
                label = y[train]
                if len(features) == 0 or len(np.unique(label)) == 1:
                    model, features = DummyClassifier(strategy="most_frequent"), np.array([0])
                else:
                    # On features of thousands that do not separate the classes it would never end.
                    model = SVC(kernel="linear", max_iter=max(1_000_000, 100 * len(label)))
                model.fit(X[train][:, features], label, sample_weight=weights[train])
                scorer = get_scorer(self.scoring or "accuracy")
                scores.append(scorer(model, X[test][:, features], y[test], **weighted))
                continue
            model = LinearRegression()
            model.coef_, model.intercept_ = W.T, part.intercept
            target = y[test].reshape(len(test), -1)
            scorer = _minus_distance if self.scoring is None else get_scorer(self.scoring)
            scores.append(scorer(model, X[test], target, **weighted))
        return scores

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


@one_blas_thread()
def _rank(X: Any, result: L21Result) -> tuple[Floats, NDArray[Any]]:
    """Score of each feature, and the features from the best to the last."""
    lengths = row_norms(result.W)
    nearness = row_norms(correlations(X, result.dual))
    scores = np.where(lengths > 0.0, lengths, np.minimum(nearness - 1.0, 0.0))
    return scores, np.argsort(-scores, kind="stable")


def _minus_distance(model: LinearRegression, X: Any, Y: Floats, sample_weight: Floats | None = None) -> float:
    return -float(np.average(row_norms(model.predict(X) - Y), weights=sample_weight))


def _number_to_select(n_features: int | float | None, d: int) -> int | None:
    if n_features is None:
        return None
    if isinstance(n_features, Integral) and not isinstance(n_features, bool):
        if not 1 <= n_features <= d:
            raise ValueError(
                f"n_features_to_select={n_features}, but X has {d} features: it needs to be 1 to {d}"
            )
        return int(n_features)
    if isinstance(n_features, Real) and 0.0 < n_features <= 1.0 and not isinstance(n_features, bool):
        return max(1, round(float(n_features) * d))
    raise ValueError(
        f"n_features_to_select needs to be a count, a fraction in (0, 1] or None, got {n_features!r}"
    )


@one_blas_thread()
def _critical_gamma(samples: Samples, loss: str) -> float:
    """Largest γ at which W = 0 is optimal, or 1 where it always is."""
    # Minus the gradient of each loss at W = 0; ℓ2,1 has none where Y_i = 0.
    pull = {"l21": unit_rows(samples.Y), "squared": samples.Y, "logistic": samples.Y - 0.5}[loss]
    largest = row_norms(correlations(samples.X, samples.weights[:, None] * pull)).max()
    return float(1.0 / largest) if largest > 0.0 else 1.0


def _gamma_value(gamma: float | str | tuple[str, float], samples: Samples, loss: str) -> float:
    if isinstance(gamma, tuple | list) and len(gamma) == 2 and gamma[0] == "critical":
        factor = gamma[1]
        if not (isinstance(factor, Real) and 0.0 < factor < np.inf):
            raise ValueError(f"gamma=('critical', factor) needs a positive factor, got {factor!r}")
        return float(factor) * _critical_gamma(samples, loss)
    if not (isinstance(gamma, Real) and 0.0 < gamma < np.inf):
        raise ValueError(f"gamma needs to be a positive number, ('critical', factor) or 'cv', got {gamma!r}")
    return float(gamma)
