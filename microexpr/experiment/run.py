"""The paper's experiment from end to end: Tables 1 and 2, Fig. 4, and what makes them comparable.

`read` reads data sets, `extract_and_evaluate` extracts what is missing and evaluates, `evaluate` evaluates
features that are there already.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from .._extras import require
from .._store_format import Kind
from .._temporary import temporary_folder
from ..data import PUBLISHED, combine, read_dataset, select_classes
from ..discriminant import ShrinkageLDA
from ..features import Features, FrameFunction, as_features
from ..pipeline import Pooling
from ..pooling import POOLINGS, sufficient
from .folds import FoldPredictions, Folds, check_table, make_folds, people_of, predict_folds
from .pins import hash_array, hash_clips, versions
from .results import Evaluation
from .scores import Scores
from .settings import Blocks, Settings, title
from .sources import FeatureSource, extract_into, source_of
from .tables import (
    compare_rows,
    make_rows,
    make_sweep,
    notes_on,
    numbers_fitting,
    numbers_of_features,
    weights_by_block,
)

if TYPE_CHECKING:
    import pandas as pd

# Name, root, and options of the reader if there are any.
Source = tuple[str, str | os.PathLike[str]] | tuple[str, str | os.PathLike[str], Mapping[str, Any]]

__all__ = ["Source", "evaluate", "extract_and_evaluate", "read"]


def read(sources: Sequence[Source], classes: str | None = None) -> pd.DataFrame:
    """Read data sets into one table.

    Parameters
    ----------
    sources : sequence of (name, root) or (name, root, options)
        Names as in `microexpr.data.DATASETS`, and keywords of its reader; several data sets are combined.
    classes : {"paper", "composite", "all"}, optional
        The paper's subset, the challenge's negative, positive and surprise, or every class as coded. By
        default "composite" for several data sets, and for one "paper" if the paper has it, else "all".

    Returns
    -------
    pandas.DataFrame
        As the readers return it; ``attrs["sources"]`` and ``attrs["selection"]`` say where it is from.
    """
    tables = [read_dataset(name, root, **(options[0] if options else {})) for name, root, *options in sources]
    if classes is None:
        in_paper = len(tables) == 1 and tables[0]["dataset"].iloc[0] in PUBLISHED["paper"]
        classes = "paper" if in_paper else "composite" if len(tables) > 1 else "all"
    if classes != "all":
        tables = [select_classes(table, classes) for table in tables]
    return tables[0] if len(tables) == 1 else combine(tables)


def extract_and_evaluate(
    table: pd.DataFrame,
    settings: Settings | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    parameters: dict[str, Any] | None = None,
    features: FrameFunction | Features | None = None,
    pooling: Literal["rank"] | Pooling = "rank",
    classifier: BaseEstimator | None = None,
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
    store : path, URL or zarr.abc.store.Store, optional
        Feature store to use and fill; by default a temporary one.
    parameters : dict, optional
        Of `microexpr.extract`: size, stabilise, and so on. By default those of the store, if there is one.
    features, pooling
        What stands where LTOGP and rank pooling do, as in `microexpr.extract`; a function, because
        `Settings.poolings` has the names.
    classifier, n_jobs, progress
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
    require("an evaluation from clips", "store")
    settings, folds = _plan(table, settings)  # what cannot be evaluated is refused before the extraction
    function = None if features is None else as_features(features)
    if isinstance(pooling, str) and pooling != "rank":
        raise ValueError(
            f"pooling is {pooling!r}; a function may stand there: Settings(poolings=...) takes the names"
        )
    # What a store has, `extract` turns into what all of them can be had of.
    kept_as = sufficient(settings.poolings) if isinstance(pooling, str) else None
    FeatureSource(lambda _: None, function, kept_as).check(settings)
    if function is None:
        for blocks in settings.grids:
            numbers_of_features(settings, blocks, 256 * blocks[0] * blocks[1])
    chosen: dict[str, Any] = {"blocks": settings.grids} if function is None else {"features": function}
    with temporary_folder() as temporary:
        chosen |= {"pooling": kept_as or pooling, "n_jobs": n_jobs, "progress": progress}
        kept = extract_into(table, store, temporary, parameters, **chosen)
        if kept.problems:
            settings, folds = _plan(kept.table, settings)
        assert kept.store is not None
        found = kept.store.digest(kept.table)
        if digest not in (None, found):
            raise ValueError(
                f"the clips are not those that were evaluated: they hash to {found[:12]}, not {digest[:12]}"
            )
        n_problems = len(table.attrs.get("problems", [])) + len(kept.problems)
        return _evaluate(
            FeatureSource(kept.features.__getitem__, function, kept_as),
            kept.table,
            settings,
            folds,
            classifier,
            face=kept.store.mean_face(kept.table),
            data={
                "sources": table.attrs.get("sources", []),
                "classes": table.attrs.get("selection") or "all",
                "digest": found,
                # But how a store's clips are pooled: of what is needed the bits are the same.
                "parameters": {
                    name: value
                    for name, value in kept.store.parameters.items()
                    if name != "pooling" or value not in POOLINGS
                },
            },
            notes=[f"{n_problems} clips could not be read"] if n_problems else [],
            n_jobs=n_jobs,
            progress=progress,
        )


def evaluate(
    features: Mapping[Any, NDArray[Any]] | Callable[[Blocks], NDArray[Any]] | ArrayLike,
    table: pd.DataFrame,
    settings: Settings | None = None,
    *,
    blocks: Blocks | None = None,
    pooling: str = "rank",
    classifier: BaseEstimator | None = None,
    face: ArrayLike | None = None,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Evaluation:
    r"""Run the paper's experiment on features that are there already.

    Everything fitted is fitted on the training fold alone: mean and standard deviation of each feature, W of

    .. math:: \min\limits_W \gamma \|XW - Y\|_{2,1} + \|W\|_{2,1},

    the SVM, and, in the rows that say "inside", C and N too: they are chosen by the pooled accuracy of
    `inner_splits` folds of the training subjects, the smaller N and then the smaller C if some are equally
    good.

    Parameters
    ----------
    features : mapping, callable or array-like of shape (n, d)
        LTOGP's: from (down, across) blocks to X of shape (n, down * across * 256), one row for each row of
        `table`, as ``extract(...).features``; of any other features their X, or ``{name: X}``.
    table : pandas.DataFrame
        With the columns dataset, subject, clip and emotion, as the readers of `microexpr.data` give it.
        ``table.attrs["simulated"]`` says that the clips are not real.
    settings : Settings, optional
        Its `blocks` and `sweep_blocks` are LTOGP's; N of the sweep that other features have not are left out,
        with a note.
    blocks : (int, int), optional
        Of other features: how many blocks of the face they describe, with as many columns for each, one block
        after the other. Without it there is no picture of the face.
    pooling : str
        How `features` were pooled (`microexpr.extract`): "mean+rank" is needed where the settings' poolings
        have a mean; then X is twice as long.
    classifier : estimator, optional
        A scikit-learn classifier instead of that of the settings; cloned for each fold, fitted on
        standardised features, with and without selection. C plays no part then.
    face : array-like of shape (height, width), optional
        Mean face, for `microexpr.plots.plot_face_parts`.
    n_jobs : int, optional
        Number of processes, as in joblib, whose backend may be another one, Dask's. The bits are the same.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If the shapes differ, the protocol does not fit the table, a fold trains on one class, N is not less
        than the number of features, or they are not as many for each of `blocks`; or if one of the poolings
        cannot be had of `pooling`.

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
    >>> evaluation = evaluate({(2, 2): X}, table, settings, n_jobs=1)
    >>> [(row.name, round(row.scores.accuracy, 2)) for row in evaluation.rows]
    [('without selection', 0.96), ('with selection', 1.0)]
    >>> int(evaluation.weights.argmax())
    0

    Other features, and another classifier:

    >>> from sklearn.naive_bayes import GaussianNB
    >>> evaluation = evaluate({"colours": X[:, :50]}, table, settings, classifier=GaussianNB(), n_jobs=1)
    >>> evaluation.features, evaluation.weights, evaluation.notes[-1]
    ('colours', None, 'colours has no blocks: no picture of the face')
    """
    effective_n_jobs(n_jobs)
    settings, folds = _plan(table, settings)
    return _evaluate(
        source_of(features, blocks, pooling),
        table,
        settings,
        folds,
        classifier,
        face=face,
        data={},
        notes=[],
        n_jobs=n_jobs,
        progress=progress,
    )


def _plan(table: pd.DataFrame, settings: Settings | None) -> tuple[Settings, Folds]:
    """Return the settings, N filled in, and the folds; raise if the table is not whole or cannot be split."""
    check_table(table)
    settings = (settings or Settings()).with_n_features(table["dataset"].unique())
    return settings, make_folds(table, settings)


def _evaluate(
    source: FeatureSource,
    table: pd.DataFrame,
    settings: Settings,
    folds: Folds,
    classifier: BaseEstimator | None,
    *,
    face: ArrayLike | None,
    data: dict[str, Any],
    notes: list[str],
    n_jobs: int | None,
    progress: bool | None,
) -> Evaluation:
    """Evaluate a table that was looked at, on its folds."""
    source.check(settings)
    if classifier is not None and not settings.is_papers:
        raise ValueError("classifier= is given, and the settings say which as well: leave one of them out")
    if settings.classifier == "lda":
        classifier = ShrinkageLDA(priors="equal" if settings.class_weight else None)
    main: Kind = settings.blocks if source.function is None else source.function.name
    blocks = source.blocks(main)
    groups, y = people_of(table), table["emotion"].to_numpy(dtype=str)
    labels, codes = np.unique(y, return_inverse=True)

    def predict(X: NDArray[Any], n_features: list[int], nested: bool, name: str) -> FoldPredictions:
        Cs: list[float | None] = [*sorted({settings.C, *settings.C_grid})] if nested else [settings.C]
        return predict_folds(
            X,
            codes,
            folds if nested else Folds(folds.outer, [[] for _ in folds.outer]),
            n_features,
            Cs if classifier is None else [None],
            settings.gamma,
            classifier,
            class_weight=settings.class_weight,
            name=name,
            n_jobs=n_jobs,
            progress=progress,
        )

    hashes: dict[str, str] = {}
    by_kind: dict[Kind, FoldPredictions] = {}
    others: dict[str, FoldPredictions] = {}
    other_hashes: dict[str, str] = {}
    for kind in settings.grids if source.function is None else [main]:
        stored = source.stored(kind, len(table))
        X = source.pooled(stored, kind, "rank")
        n_features, left_out = numbers_of_features(settings, kind, X.shape[1])
        if left_out:
            notes = [f"{title(kind)} has {X.shape[1]} features: no N of {min(left_out)} and more", *notes]
        hashes[title(kind).removesuffix(" blocks")] = hash_array(X)
        everything = [X.shape[1]] if kind == main else []
        by_kind[kind] = predict(X, [*n_features, *everything], kind == main and settings.nested, title(kind))
        if kind != main:
            continue
        without_blocks = "" if blocks else f"{title(main)} has no blocks"
        # Another pooling may move columns: only LTOGP's known length can tell that it did not.
        if (
            blocks
            and source.pooling is None
            and (source.function or X.shape[1] != 256 * blocks[0] * blocks[1])
        ):
            blocks, without_blocks = None, "the pooling may have moved the columns of the blocks"
        weights = weights_by_block(by_kind[kind].weights, blocks, kind)
        for pooling in settings.poolings[1:]:
            X = source.pooled(stored, kind, pooling)
            other_hashes[pooling] = hash_array(X)
            n_features = [*numbers_fitting(settings, X.shape[1]), X.shape[1]]
            others[pooling] = predict(X, n_features, settings.nested, f"{title(kind)}, {pooling}")

    tested = folds.tested
    clips = table["clip"].to_numpy(dtype=str)[tested]

    def scores(predicted: NDArray[Any]) -> Scores:
        return Scores(y[tested], labels[predicted[tested]], groups[tested], labels, clips)

    papers = source.function is None and source.pooling and classifier is None and settings.is_papers
    as_given = "as published" if papers else "as given"
    rows = make_rows(by_kind[main], folds, scores, settings, as_given)
    for pooling, predictions in others.items():
        rows += make_rows(predictions, folds, scores, settings, as_given, pooling)
    kept = table.iloc[tested].reset_index(drop=True)
    kept.attrs = dict(table.attrs)
    gap = float(np.max([predictions.gap for predictions in [*by_kind.values(), *others.values()]]))
    if not gap <= 1e-6:
        warnings.warn(
            f"an l2,1 problem was left at a relative duality gap of {gap:.1e}, above 1e-6",
            ConvergenceWarning,
            stacklevel=3,
        )
    return Evaluation(
        settings=settings,
        table=kept,
        simulated=bool(table.attrs.get("simulated", False)),
        rows=rows,
        comparisons=compare_rows(rows, settings),
        sweep=make_sweep(by_kind, scores, settings),
        features=main,
        weights=weights,
        n_rows=by_kind[main].n_rows,
        gap=gap,
        face=None if face is None else np.asarray(face),
        notes=[*notes_on(settings, by_kind[main], others, kept, without_blocks), *notes],
        pins={
            "versions": versions(),
            **({} if classifier is None or not settings.is_papers else {"classifier": repr(classifier)}),
            "data": {
                **data,
                "clips": hash_clips(table),
                "features": hashes,
                **({"poolings": other_hashes} if others else {}),
            },
        },
    )
