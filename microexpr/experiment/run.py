"""The paper's experiment: Tables 1 and 2, Fig. 4, and what makes them comparable.

`evaluate` computes it from stored features, `run` from data sets on disk, `repeat` from the file that an
`Evaluation` saves. One pass over the folds gives all of it: a fold's l2,1 problem is solved once and its
ranking serves every N, and a linear SVM needs no more of the selected columns than their Gram matrix, which
serves every C.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from l21 import L21Selector

from .results import FORMAT, PAPER_N, Comparison, Evaluation, Row, Settings
from .scores import Scores, bootstrap, check_fold, interval, mcnemar, splits

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Settings", "evaluate", "extract_and_evaluate", "read", "repeat"]

_Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
_PACKAGES = (
    "microexpr",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "joblib",
    "pandas",
    "pillow",
    "matplotlib",
)


def evaluate(
    features: Callable[[tuple[int, int]], NDArray],
    table: pd.DataFrame,
    settings: Settings | None = None,
    *,
    face: NDArray | None = None,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Evaluation:
    r"""Run the paper's experiment on features that are there already.

    Everything fitted is fitted on the training fold alone: mean and standard deviation of each feature, W of

    .. math:: \min_W \gamma \|XW - Y\|_{2,1} + \|W\|_{2,1},

    the SVM, and, in the rows that say "inside", C and N too: they are chosen by the pooled accuracy of
    `inner_splits` folds of the training subjects, the smaller N and then the smaller C if some are equally
    good.

    Parameters
    ----------
    features : callable
        From (down, across) blocks to X of shape (n, down * across * 256), one row for each row of `table`:
        ``{(8, 8): X, ...}.__getitem__``, or what loads them from a `microexpr.store.FeatureStore`.
    table : pandas.DataFrame
        With the columns dataset, subject, clip and emotion, as the readers of `microexpr.data` give it.
        ``table.attrs["simulated"]`` says that the clips are not real.
    settings : Settings, optional
    face : array-like of shape (height, width), optional
        Mean face, for `microexpr.plots.plot_face_parts`.
    n_jobs : int, optional
        Number of processes, as in joblib; -1 uses every core. The result is the same, bit for bit.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If the shapes differ, the protocol does not fit the table, a fold trains on one class, or N is not
        less than the number of features.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If an l2,1 problem was not solved to its tolerance; the largest gap is in the message.

    References
    ----------
    Niu et al., ICASSP 2019, section 4.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from microexpr.experiment import Settings, evaluate
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"dataset": "mine", "subject": np.repeat(list("abcd"), 6), "clip": range(24),
    ...                       "emotion": np.tile(["disgust", "surprise"], 12)})
    >>> X = rng.standard_normal((24, 2 * 2 * 256))
    >>> X[1::2, :20] += 2   # the first block tells the classes apart
    >>> settings = Settings(blocks=2, n_features=20, sweep=False, nested=False)
    >>> evaluation = evaluate({(2, 2): X}.__getitem__, table, settings, n_jobs=1)
    >>> [(row.name, round(row.scores.accuracy, 2)) for row in evaluation.rows]
    [('without selection', 0.96), ('with selection', 1.0)]
    >>> int(evaluation.weights.argmax())
    0
    """
    effective_n_jobs(n_jobs)
    settings = _with_n(settings or Settings(), table)
    folds, inner = _folds(table, settings)
    groups, y = table["subject"].to_numpy(dtype=str), table["emotion"].to_numpy(dtype=str)
    labels, codes = np.unique(y, return_inverse=True)

    hashes, grids = {}, {}
    for blocks in settings.grids:
        X = features(blocks)
        if isinstance(X, np.ma.MaskedArray):
            raise TypeError(f"the features of {blocks[0]} x {blocks[1]} blocks are a masked array")
        X = np.asarray(X)
        if X.ndim != 2 or len(X) != len(table):
            raise ValueError(
                f"the features of {blocks[0]} x {blocks[1]} blocks have shape {X.shape}; the table has "
                f"{len(table)} clips"
            )
        n_features = _several(settings, blocks, X.shape[1])
        tables = blocks[0] == settings.blocks
        hashes["{} x {}".format(*blocks)] = _hash(X)
        grids[blocks[0]] = _Grid.compute(
            X,
            codes,
            folds,
            inner if tables else [[] for _ in folds],
            [*n_features, X.shape[1]] if tables else n_features,
            sorted({settings.C, *settings.C_grid}) if settings.nested and tables else [settings.C],
            settings.gamma,
            "{} x {} blocks".format(*blocks),
            n_jobs,
            progress,
        )
        del X

    tested = np.sort(np.concatenate([test for _, test in folds]))

    def scores(predicted: NDArray) -> Scores:
        return Scores(y[tested], labels[predicted[tested]], groups[tested], labels)

    grid = grids[settings.blocks]
    rows = _rows(grid, folds, scores, settings)
    kept = table.iloc[tested].reset_index(drop=True)
    kept.attrs = dict(table.attrs)
    weights = grid.weights.reshape(settings.blocks, settings.blocks, -1).sum(axis=2)
    gap = max(g.gap for g in grids.values())
    if gap > 1e-6:
        warnings.warn(
            f"an l2,1 problem was left at a relative duality gap of {gap:.1e}, above 1e-6",
            ConvergenceWarning,
            stacklevel=2,
        )
    sweep = {
        (b, n): scores(grids[b].predicted(n, settings.C))
        for b in (settings.sweep_blocks if settings.sweep else ())
        for n in settings.sweep_n_features
    }
    return Evaluation(
        settings=settings,
        table=kept,
        simulated=bool(table.attrs.get("simulated", False)),
        rows=rows,
        comparisons=_comparisons(rows, settings),
        sweep=sweep,
        weights=weights,
        n_rows=grid.n_rows,
        gap=gap,
        face=None if face is None else np.asarray(face),
        notes=_notes(settings, grid, kept),
        pins={"versions": _versions(), "data": {"clips": _clips_hash(table), "features": hashes}},
    )


def read(sources: Sequence[tuple[str, str | os.PathLike[str]]], classes: str | None = None) -> pd.DataFrame:
    """Read data sets into one table.

    Parameters
    ----------
    sources : sequence of (name, root)
        Names as in `microexpr.data.DATASETS`; several data sets are combined.
    classes : {"paper", "composite", "all"}, optional
        The paper's subset, the challenge's negative, positive and surprise, or every class as coded. By
        default "composite" for several data sets, and for one "paper" if the paper has it, else "all".

    Returns
    -------
    pandas.DataFrame
        As the readers return it; ``attrs["sources"]`` and ``attrs["classes"]`` say where it is from.
    """
    from ..data import PUBLISHED, combine, read_dataset, select_classes

    tables = [read_dataset(name, root) for name, root in sources]
    if classes is None:
        in_paper = len(tables) == 1 and tables[0]["dataset"].iloc[0] in PUBLISHED["paper"]
        classes = "paper" if in_paper else "composite" if len(tables) > 1 else "all"
    if classes != "all":
        tables = [select_classes(table, classes) for table in tables]
    table = tables[0] if len(tables) == 1 else combine(tables)
    table.attrs["sources"] = [[name, str(root)] for name, root in sources]
    table.attrs["classes"] = classes
    return table


def extract_and_evaluate(
    table: pd.DataFrame,
    settings: Settings | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    parameters: dict[str, Any] | None = None,
    n_jobs: int | None = -1,
    progress: bool | None = None,
    digest: str | None = None,
) -> Evaluation:
    """Extract what is missing, then `evaluate`.

    Parameters
    ----------
    table : pandas.DataFrame
        From `read` or a reader of `microexpr.data`.
    settings : Settings, optional
    store : path, optional
        Feature store to use and fill; by default a temporary one.
    parameters : dict, optional
        Of `microexpr.extract`: size, stabilise, and so on. By default those of the store, if there is one.
    n_jobs, progress
        As in `evaluate`.
    digest : str, optional
        Hash that the clips must have (``pins["data"]["digest"]`` of an earlier evaluation).

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        As `evaluate`; or if no clip could be described, or the clips are not those of `digest`.
    """
    from ..extraction import extract
    from ..store import FeatureStore

    settings = _with_n(settings or Settings(), table)
    _folds(table, settings)  # what cannot be evaluated is refused before the extraction
    for blocks in settings.grids:
        _several(settings, blocks, 256 * blocks[0] * blocks[1])
    with tempfile.TemporaryDirectory(prefix="microexpr-") as temporary:
        if store is None:
            store = Path(temporary) / "features.zarr"
        elif parameters is None and Path(store).exists():
            parameters = FeatureStore(store).parameters
        features, described = extract(
            table, store, blocks=settings.grids, n_jobs=n_jobs, progress=progress, **(parameters or {})
        )
        found = features.digest(described)
        if digest not in (None, found):
            raise ValueError(
                f"the clips are not those that were evaluated: they hash to {found[:12]}, not {digest[:12]}"
            )
        evaluation = evaluate(
            lambda blocks: features.load(blocks, described),
            described,
            settings,
            face=features.mean_face(described),
            n_jobs=n_jobs,
            progress=progress,
        )
        data = {
            "sources": table.attrs.get("sources", []),
            "classes": table.attrs.get("classes"),
            "digest": found,
            "parameters": features.parameters,
        }
    problems = described.attrs.get("problems", [])
    notes = [*evaluation.notes, *([f"{len(problems)} clips could not be read"] if problems else [])]
    pins = {**evaluation.pins, "data": {**data, **evaluation.pins["data"]}}
    return dataclasses.replace(evaluation, notes=notes, pins=pins)


def repeat(
    file: str | os.PathLike[str],
    *,
    sources: Sequence[tuple[str, str | os.PathLike[str]]] | None = None,
    store: str | os.PathLike[str] | None = None,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> tuple[Evaluation, list[str]]:
    """Evaluate again as an evaluation.json says, and compare.

    Parameters
    ----------
    file : path
        The evaluation.json that `Evaluation.save` wrote.
    sources : sequence of (name, root), optional
        Where the data sets are now; by default where they were.
    store, n_jobs, progress
        As in `run`.

    Returns
    -------
    evaluation : Evaluation
    differences : list of str
        What is not the same, bit for bit; empty if everything is. Versions that differ come first.

    Raises
    ------
    ValueError
        If the file is not such a file, or the clips are not those that it was written for.
    """
    content, settings = _read_pins(Path(file))
    pinned = content["data"]
    sources = sources or [tuple(source) for source in pinned["sources"]]
    if not sources:
        raise ValueError(f"{file} does not say where the data sets are; give them")
    table = read(sources, pinned["classes"] or "all")
    evaluation = extract_and_evaluate(
        table,
        settings,
        store=store,
        parameters=pinned["parameters"],
        n_jobs=n_jobs,
        progress=progress,
        digest=pinned["digest"],
    )
    again = json.loads(json.dumps({**evaluation.pins, "results": evaluation.results()}))
    differences = [
        f"{name} was {content['versions'].get(name)}, is {again['versions'].get(name)}"
        for name in sorted({*content["versions"], *again["versions"]})
        if content["versions"].get(name) != again["versions"].get(name)
    ]
    for blocks, value in pinned["features"].items():
        if again["data"]["features"].get(blocks) != value:
            differences.append(f"the features of {blocks} blocks are not the same")
    for name, value in content["results"].items():
        if again["results"].get(name) != value:
            differences.append(f"the {name} are not the same")
    return evaluation, differences


def _read_pins(path: Path) -> tuple[dict, Settings]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `microexpr evaluate` writes one, evaluation.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"{path} has format {content['format']}; this version reads {FORMAT}")
        missing = {"sources", "classes", "digest", "parameters", "features"} - content["data"].keys()
        if missing or "results" not in content or "versions" not in content:
            raise KeyError(", ".join(sorted(missing)) or "results")
        return content, Settings(**content["settings"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not an evaluation.json of `microexpr evaluate`: {error}") from error


# The folds.


def _with_n(settings: Settings, table: pd.DataFrame) -> Settings:
    """Fill in the N of the paper if none is given; an error if the table is not whole."""
    for name in ("dataset", "subject", "clip", "emotion"):
        if name not in table:
            raise ValueError(f"the table has no column {name}")
        if table[name].isna().any():
            raise ValueError(f"{name} is missing in row {int(table[name].isna().argmax())} of the table")
    if not len(table):
        raise ValueError("the table holds no clip")
    names = table["dataset"].unique()
    paper = PAPER_N.get(names[0], 450) if len(names) == 1 else 450
    return dataclasses.replace(settings, n_features=settings.n_features or paper)


def _folds(table: pd.DataFrame, settings: Settings) -> tuple[list[_Fold], list[list[_Fold]]]:
    """(train, test) of each fold, and the folds of its training set, or an error."""
    datasets, groups, y = (table[name].to_numpy(dtype=str) for name in ("dataset", "subject", "emotion"))
    folds = splits(settings.protocol, groups, datasets=datasets, n_splits=settings.n_splits)
    inner: list[list[_Fold]] = []
    for train, test in folds:
        check_fold(y, groups, train, test)
        inner.append(_inner_folds(train, groups, settings.inner_splits) if settings.nested else [])
    return folds, inner


def _several(settings: Settings, blocks: tuple[int, int], d: int) -> list[int]:
    """Every N that is needed of a grid of blocks with d features, or an error."""
    several = set(settings.sweep_n_features) if settings.sweep or settings.nested else set()
    if blocks[0] == settings.blocks:
        several.add(int(settings.n_features or 0))
    if max(several) >= d:
        raise ValueError(
            f"N = {max(several)}, but {blocks[0]} x {blocks[1]} blocks give {d} features; choose fewer "
            "features or more blocks"
        )
    return sorted(several)


@dataclass(eq=False)
class _Grid:
    """Predictions of every fold for every N and C, of one grid of blocks."""

    n_features: list[int]
    Cs: list[float]
    predictions: NDArray[np.int64]  # (N, C, n), -1 where not tested
    inner: NDArray[np.int64]  # (folds, N, C): how many of the training set its own folds predict right
    weights: NDArray[np.float64]  # (d,): lengths of W's rows, mean over the folds
    n_rows: list[int]
    gap: float

    @classmethod
    def compute(
        cls,
        X: NDArray,
        y: NDArray,
        folds: list[_Fold],
        inner: list[list[_Fold]],
        n_features: list[int],
        Cs: list[float],
        gamma: float,
        name: str,
        n_jobs: int | None,
        progress: bool | None,
    ) -> _Grid:
        tasks = [(f, train, test) for f, (train, test) in enumerate(folds)]
        tasks += [(f, train, test) for f in range(len(folds)) for train, test in inner[f]]
        # Processes: 26 folds, N = 450 and all, took 13 s in two of them and 21 s in two threads.
        work = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_fit)(X, y, train, test, n_features, Cs, gamma) for _, train, test in tasks
        )
        predictions = np.full((len(n_features), len(Cs), len(y)), -1)
        right = np.zeros((len(folds), len(n_features), len(Cs)), dtype=int)
        weights, n_rows, gap = np.zeros(X.shape[1]), [], 0.0
        bar = tqdm(
            work, name, len(tasks), unit="fit", delay=2, disable=None if progress is None else not progress
        )
        for i, ((f, _, test), (predicted, lengths, certified)) in enumerate(zip(tasks, bar, strict=True)):
            gap = max(gap, certified)
            if i < len(folds):
                predictions[..., test] = predicted
                weights += lengths / len(folds)
                n_rows.append(int(np.count_nonzero(lengths)))
            else:
                right[f] += (predicted == y[test]).sum(axis=-1)
        return cls(n_features, Cs, predictions, right, weights, n_rows, gap)

    def predicted(self, n: int, C: float) -> NDArray[np.int64]:
        return self.predictions[self.n_features.index(n), self.Cs.index(C)]

    def choose(self, fold: int, n_features: Sequence[int], Cs: Sequence[float]) -> tuple[int, float]:
        """Best pair by the inner folds; of equally good ones the first: the smaller N, then the smaller C."""
        if len(n_features) == len(Cs) == 1:
            return n_features[0], Cs[0]
        pairs = [(n, C) for n in n_features for C in Cs]
        right = [self.inner[fold, self.n_features.index(n), self.Cs.index(C)] for n, C in pairs]
        return pairs[int(np.argmax(right))]


def _fit(
    X: NDArray,
    y: NDArray,
    train: NDArray,
    test: NDArray,
    n_features: list[int],
    Cs: list[float],
    gamma: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Predictions (N, C, test) of one fold, the lengths of the rows of W, the gap to which it is solved.

    The same numbers as `make_classifier`'s Pipeline for each N and C, but one solve for all of them.
    """
    classes = np.unique(y[train])
    predictions = np.full((len(n_features), len(Cs), len(test)), classes[0])
    if len(classes) < 2:  # only an inner fold can be such
        return predictions, np.zeros(X.shape[1]), 0.0
    # One BLAS thread: processes share the cores, and the bits don't depend on how many there are.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # W = 0 and gaps are reported once, for all folds
        scaler = StandardScaler().fit(X[train])
        Z, Z_test = scaler.transform(X[train]), scaler.transform(X[test])
        selector = L21Selector(gamma=gamma).fit(Z, y[train])
        d = X.shape[1]
        ranked = np.argsort(selector.ranking_)[: max(n for n in n_features if n < d)]
        best, best_test = Z[:, ranked], Z_test[:, ranked]
        for i, n in enumerate(n_features):
            A, B = (best[:, :n], best_test[:, :n]) if n < d else (Z, Z_test)
            gram, gram_test = A @ A.T, B @ A.T
            for j, C in enumerate(Cs):
                svm = SVC(C=C, kernel="precomputed").fit(gram, y[train])
                predictions[i, j] = svm.predict(gram_test)
    return predictions, np.linalg.norm(selector.W_, axis=1), float(selector.dual_gap_)


def _inner_folds(train: NDArray, groups: NDArray, n_splits: int) -> list[_Fold]:
    n_subjects = len(np.unique(groups[train]))
    if n_subjects < 2:
        raise ValueError(
            f"a training set has {n_subjects} subject(s); to choose C and N inside it, it needs 2: evaluate "
            "with nested=False (--no-nested)"
        )
    folds = GroupKFold(min(n_splits, n_subjects)).split(train, groups=groups[train])
    return [(train[a], train[b]) for a, b in folds]


# The table.


def _rows(
    grid: _Grid,
    folds: list[_Fold],
    scores: Callable[[NDArray], Scores],
    settings: Settings,
) -> list[Row]:
    everything, given, C = [grid.n_features[-1]], [int(settings.n_features or 0)], [settings.C]

    def row(name: str, basis: str, n_features: Sequence[int], Cs: Sequence[float]) -> Row:
        chosen = [grid.choose(fold, n_features, Cs) for fold in range(len(folds))]
        predictions = np.full(grid.predictions.shape[-1], -1)
        for (n, c), (_, test) in zip(chosen, folds, strict=True):
            predictions[test] = grid.predicted(n, c)[test]
        pooled = scores(predictions)
        resamples = bootstrap(pooled, settings.n_resamples, settings.seed)
        intervals = {measure: interval(values) for measure, values in resamples.items()}
        return Row(name, basis, [n for n, _ in chosen], [c for _, c in chosen], pooled, intervals)

    rows = [
        row("without selection", "as published", everything, C),
        row("with selection", "as published", given, C),
    ]
    if not settings.nested:
        return rows
    several = list(settings.sweep_n_features)
    accuracy = [scores(grid.predicted(n, settings.C)).accuracy for n in several]
    return [
        *rows,
        row("without selection", "C chosen inside", everything, grid.Cs),
        row("with selection", "C chosen inside", given, grid.Cs),
        row("with selection", "N chosen inside", several, C),
        row("with selection", "N and C chosen inside", several, grid.Cs),
        row("with selection", "N by the test clips: optimistic", [several[int(np.argmax(accuracy))]], C),
    ]


def _comparisons(rows: list[Row], settings: Settings) -> list[Comparison]:
    pairs = [(1, 0)] if not settings.nested else [(1, 0), (3, 2), (5, 2), (6, 4)]
    comparisons = []
    for first, second in pairs:
        one, other = (
            bootstrap(rows[i].scores, settings.n_resamples, settings.seed)["accuracy"]
            for i in (first, second)
        )
        difference = rows[first].scores.accuracy - rows[second].scores.accuracy
        test = mcnemar(rows[first].scores, rows[second].scores)
        comparisons.append(Comparison(first, second, difference, interval(one - other), test))
    return comparisons


def _notes(settings: Settings, grid: _Grid, table: pd.DataFrame) -> list[str]:
    counts = table["emotion"].value_counts()
    notes = [f"always {counts.index[0]!r}: {100 * counts.iloc[0] / len(table):.1f} %"]
    most = max(n for n in grid.n_features[:-1])
    if min(grid.n_rows) < most:
        notes.append(
            f"W has {min(grid.n_rows)} to {max(grid.n_rows)} non-zero rows in the folds; with N above that, "
            "the features nearest to entering fill up"
        )
    if settings.protocol == "lovo":
        notes.append("other clips of the subject tested are in the training set: optimistic for new people")
    names = table["dataset"].unique()
    if not table.attrs.get("simulated") and settings.n_features == PAPER_N.get(names[0]):
        notes.append(f"N = {settings.n_features} is what the paper chose by its test clips")
    return notes


# What is pinned.


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # The last bits depend on the BLAS, NumPy's and SciPy's, and on which processor its kernels are for. Other
    # packages may have loaded one of their own; in a wheel, NumPy's and SciPy's lie beside them.
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in blas if {"numpy.libs", "scipy.libs"} & {*Path(library["filepath"]).parts}]
    versions["blas"] = ", ".join(
        sorted(
            f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
            for library in own or blas
        )
    )
    return versions


def _hash(array: NDArray) -> str:
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()


def _clips_hash(table: pd.DataFrame) -> str:
    rows = table[["dataset", "subject", "clip", "emotion"]].astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
