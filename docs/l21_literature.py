"""Accuracy of a linear SVM on the top 20 and top 80 features, by l21 and by other selectors.

    python docs/l21_literature.py DATA

DATA is a folder with ALLAML.mat, GLIOMA.mat and Prostate_GE.mat (arrays X, Y), of scikit-feature's
collection, https://jundongl.github.io/scikit-feature/datasets.html: free to download, no licence stated, so
they are not part of this repository. This is the experiment of Table 2 in Nie, Huang, Cai, Ding (NIPS 2010):
five-fold cross-validation, linear SVM.
Their splits and scaling are unknown, so the figures cannot be theirs to the digit. Ours: stratified folds,
shuffled with seeds 0, 1, ..., the mean over these repetitions and the standard deviation between them.
Features are standardised and selected on the training fold alone; the SVM has C = 1. What is tuned is tuned
inside the training fold.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from sklearn.feature_selection import f_classif, mutual_info_classif
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from l21 import L21Selector

NAMES = ("ALLAML", "GLIOMA", "Prostate-GE")
SOURCE = "https://jundongl.github.io/scikit-feature/datasets.html (free to download, no licence stated)"
COUNTS = (20, 80)
Array = NDArray[np.float64]
Ranking = Callable[[int], NDArray[np.intp]]  # a number -> the best features, as many


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Accuracy of a linear SVM on the top 20 and top 80 features, by l21 and other selectors.",
        epilog=f"DATA comes from\n{SOURCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "data", nargs="?", type=Path, metavar="DATA", help=f"folder with {', '.join(NAMES)} as .mat files"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="five-fold splits, seeds 0, 1, ... (default 5)"
    )
    parser.add_argument("--quick", action="store_true", help="one split, and only what takes seconds")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats needs to be at least 1, got {options.repeats}")
    if options.data is None:
        parser.exit(2, f"DATA is needed: a folder with {', '.join(NAMES)} as .mat files, from {SOURCE}\n")
    for name in NAMES:
        if not file_of(options.data, name).is_file():
            parser.exit(2, f"{file_of(options.data, name)} is not there; download it from {SOURCE}\n")
    methods, repeats = METHODS, options.repeats
    if options.quick:
        methods, repeats = {name: METHODS[name] for name in QUICK}, 1

    rows = {name: f"{name:<32}" for name in [*methods, "all features", "most frequent class"]}
    for data in NAMES:
        X, y = load(file_of(options.data, data))
        for name in methods:
            scores = repeated(methods[name], X, y, repeats, f"{data}, {name}")
            rows[name] += "".join(f"{cell(column):>22}" for column in scores.T)
        scores = repeated(every_feature, X, y, repeats, f"{data}, all features", counts=(X.shape[1],))
        rows["all features"] += f"{cell(scores[:, 0]):>22}{'':22}"
        frequent = np.unique(y, return_counts=True)[1].max() / len(y)
        rows["most frequent class"] += f"{cell(np.array([frequent])):>22}{'':22}"
    print(
        f"Accuracy of a linear SVM, five folds, {repeats} split(s), mean ± standard deviation between splits"
    )
    print(f"{'':<32}" + "".join(f"{name + f', top {n}':>22}" for name in NAMES for n in COUNTS))
    print("\n".join(row.rstrip() for row in rows.values()))


def file_of(folder: Path, name: str) -> Path:
    """Where the data set is; the collection names its file Prostate_GE, other copies Prostate-GE."""
    path = folder / f"{name.replace('-', '_')}.mat"
    return path if path.is_file() else folder / f"{name}.mat"


def load(path: Path) -> tuple[Array, NDArray]:
    """Read X (n, d) and the class of each sample."""
    mat = scipy.io.loadmat(path)
    return mat["X"].astype(np.float64), mat["Y"].ravel()


def cell(accuracies: Array) -> str:
    """Write the mean, and the standard deviation between splits where there are several."""
    spread = f" ± {100 * accuracies.std(ddof=1):.1f}" if len(accuracies) > 1 else ""
    return f"{100 * accuracies.mean():.1f}{spread} %"


# ----------------------------------------------------------------------------------------------- evaluation


def repeated(
    method: Callable[[Array, NDArray], Ranking],
    X: Array,
    y: NDArray,
    repeats: int,
    title: str,
    counts: tuple[int, ...] = COUNTS,
) -> Array:
    """Accuracy (repeats, counts), each over all samples of one five-fold split."""
    right = np.zeros((repeats, len(counts), len(y)), dtype=bool)
    with tqdm(total=5 * repeats, desc=title, leave=False, file=sys.stderr) as progress:
        for seed in range(repeats):
            for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
                scaler = StandardScaler().fit(X[train])
                X_train, X_test = scaler.transform(X[train]), scaler.transform(X[test])
                best = method(X_train, y[train])
                for k, n in enumerate(counts):
                    features = best(n)
                    model = SVC(kernel="linear").fit(X_train[:, features], y[train])
                    right[seed, k, test] = model.predict(X_test[:, features]) == y[test]
                progress.update()
    return right.mean(axis=2)


# ---------------------------------------------------------------------------------------------- the methods


def ranked(scores: Array) -> Ranking:
    """Take the features with the largest scores; of equal ones, the first."""
    order = np.argsort(-scores, kind="stable")
    return lambda n: order[:n]


def by_rows(X: Array, y: NDArray, **options: object) -> Ranking:
    """Rank by L21Selector at one γ, whatever the number of features."""
    return ranked(L21Selector(**options).fit(X, y).scores_)


def by_tuned_rows(X: Array, y: NDArray, loss: str) -> Ranking:
    """Choose γ inside the training fold, for each number of features."""

    def best(n: int) -> NDArray[np.intp]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "only .* rows of W are non-zero")
            selector = L21Selector(n, gamma="cv", gammas=5, loss=loss, tol=1e-4).fit(X, y)
        return selector.get_support(indices=True)

    return best


def by_mutual_information(X: Array, y: NDArray) -> Ranking:
    """Rank by scikit-learn's estimate from nearest neighbours."""
    return ranked(mutual_info_classif(X, y, random_state=0))


def by_f_score(X: Array, y: NDArray) -> Ranking:
    """Rank by the F statistic of the analysis of variance."""
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Features [\s\S]* are constant")
        return ranked(np.nan_to_num(f_classif(X, y)[0]))


def by_relieff(X: Array, y: NDArray) -> Ranking:
    """Rank by skrebate's ReliefF with 10 neighbours, as is usual."""
    from skrebate import ReliefF

    return ranked(ReliefF(n_neighbors=10).fit(X, y).feature_importances_)


def every_feature(X: Array, y: NDArray) -> Ranking:
    """Select nothing."""
    return lambda n: np.arange(n)


METHODS: dict[str, Callable[[Array, NDArray], Ranking]] = {
    "l21, gamma = 1": by_rows,
    "l21, tuned": partial(by_tuned_rows, loss="l21"),
    "squared (ls_l21), tuned": partial(by_tuned_rows, loss="squared"),
    "logistic (ll_l21), tuned": partial(by_tuned_rows, loss="logistic"),
    "F-score": by_f_score,
    "mutual information": by_mutual_information,
}
try:
    import skrebate  # noqa: F401

    METHODS["ReliefF"] = by_relieff
except ImportError:
    pass
QUICK = ("l21, gamma = 1", "F-score")


if __name__ == "__main__":
    main(sys.argv[1:])
