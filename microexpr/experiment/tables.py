"""The rows of the paper's tables from what the folds predict: which N and C each uses, how they compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .folds import FoldPredictions, Folds
from .results import Comparison, Row
from .scores import Scores, bootstrap, interval, mcnemar
from .settings import PAPER_N, Blocks, Settings, title

if TYPE_CHECKING:
    import pandas as pd

    from .._store_format import Kind

__all__ = [
    "compare_rows",
    "make_rows",
    "make_sweep",
    "notes_on",
    "numbers_fitting",
    "numbers_of_features",
    "weights_by_block",
]

_NOT_THE_PAPERS = "not the paper's"

Scoring = Callable[[NDArray[np.int64]], Scores]  # of the predictions of all clips


def numbers_of_features(settings: Settings, kind: Kind, d: int) -> tuple[list[int], list[int]]:
    """Return every N that is needed of features of length d, and those left out as too many; or raise.

    Too many of LTOGP's, which are as many as the blocks say, is a slip; how many others are the caller may
    not know, and of them the N of the sweep are left out.
    """
    wanted = set(settings.sweep_n_features) if settings.sweep or settings.nested else set()
    left_out: set[int] = set()
    if isinstance(kind, str):
        left_out = {n for n in wanted if n >= d}
        wanted -= left_out
    if isinstance(kind, str) or kind == settings.blocks:
        wanted.add(int(settings.n_features or 0))
    if max(wanted) >= d:
        if isinstance(kind, str):
            raise ValueError(f"N = {max(wanted)}, but {kind} has {d} features; choose fewer: n_features")
        raise ValueError(
            f"N = {max(wanted)}, but {title(kind)} give {d} features; choose fewer features or more blocks"
        )
    return sorted(wanted), sorted(left_out)


def numbers_fitting(settings: Settings, d: int) -> list[int]:
    """Return every N that is needed of clips pooled another way than the paper's, if N is less than d."""
    if int(settings.n_features or 0) >= d:
        return []
    wanted = {int(settings.n_features or 0), *(settings.sweep_n_features if settings.nested else ())}
    return sorted(n for n in wanted if n < d)


def make_rows(
    predictions: FoldPredictions,
    folds: Folds,
    scores: Scoring,
    settings: Settings,
    as_given: str,
    pooling: str = "rank",
) -> list[Row]:
    """Return the rows with C and N as given and, if asked for, chosen inside the training folds.

    Of another pooling they say that it is not the paper's, without the row that shows what the choice of N by
    the test clips flatters; where N is not less than its features, nothing is selected.
    """
    everything, given = [predictions.n_features[-1]], [int(settings.n_features or 0)]
    C = [settings.C if settings.C in predictions.Cs else None]

    def row(name: str, basis: str, n_features: Sequence[int], Cs: Sequence[float | None]) -> Row:
        chosen = [predictions.choose(fold, n_features, Cs) for fold in range(len(folds.outer))]
        predicted = np.full(predictions.predictions.shape[-1], -1)
        for (n, c), (_, test) in zip(chosen, folds.outer, strict=True):
            predicted[test] = predictions.predicted(n, c)[test]
        pooled = scores(predicted)
        resamples = bootstrap(pooled, settings.n_resamples, settings.seed)
        intervals = {measure: interval(values) for measure, values in resamples.items()}
        if pooling != "rank":
            basis = _NOT_THE_PAPERS if basis == as_given else f"{basis}, {_NOT_THE_PAPERS}"
        return Row(name, basis, [n for n, _ in chosen], [c for _, c in chosen], pooled, intervals, pooling)

    rows = [row("without selection", as_given, everything, C)]
    if given[0] not in predictions.n_features[:-1]:  # nothing is selected
        if settings.nested and C != [None]:
            rows.append(row("without selection", "C chosen inside", everything, predictions.Cs))
        return rows
    rows.append(row("with selection", as_given, given, C))
    if not settings.nested:
        return rows
    swept = [n for n in settings.sweep_n_features if n < len(predictions.weights)] or given
    inside = [("with selection", "N chosen inside", swept, C)]
    if C != [None]:  # there is a C to choose
        inside = [
            ("without selection", "C chosen inside", everything, predictions.Cs),
            ("with selection", "C chosen inside", given, predictions.Cs),
            *inside,
            ("with selection", "N and C chosen inside", swept, predictions.Cs),
        ]
    if pooling == "rank":
        accuracy = [scores(predictions.predicted(n, C[0])).accuracy for n in swept]
        best = [swept[int(np.argmax(accuracy))]]
        inside.append(("with selection", "N by the test clips: optimistic", best, C))
    return rows + [row(*arguments) for arguments in inside]


def compare_rows(rows: list[Row], settings: Settings) -> list[Comparison]:
    """Return the differences that mean something: with against without selection, what choosing N costs.

    And of every row of another pooling against the paper's recipe, with selection, C and N from where the row
    has them.
    """
    at = {(row.method, row.basis): i for i, row in enumerate(rows)}
    given = rows[0].basis
    pairs = [("with selection", given, "without selection", given)]
    if settings.nested and ("with selection", "C chosen inside") in at:
        pairs.append(("with selection", "C chosen inside", "without selection", "C chosen inside"))
        pairs.append(("with selection", "N and C chosen inside", "without selection", "C chosen inside"))
    elif settings.nested:
        pairs.append(("with selection", "N chosen inside", "without selection", given))
    if settings.nested:
        pairs.append(
            ("with selection", "N by the test clips: optimistic", "with selection", "N chosen inside")
        )
    for row in rows:
        basis = given if row.basis == _NOT_THE_PAPERS else row.basis.removesuffix(f", {_NOT_THE_PAPERS}")
        if row.pooling != "rank":
            pairs.append((row.method, row.basis, "with selection", basis))
    comparisons = []
    for name, basis, other_name, other_basis in pairs:
        first, second = at[name, basis], at[other_name, other_basis]
        one, other = (
            bootstrap(rows[i].scores, settings.n_resamples, settings.seed)["accuracy"]
            for i in (first, second)
        )
        difference = rows[first].scores.accuracy - rows[second].scores.accuracy
        test = mcnemar(rows[first].scores, rows[second].scores)
        comparisons.append(Comparison(first, second, difference, interval(one - other), test))
    return comparisons


def make_sweep(
    by_kind: Mapping[Kind, FoldPredictions], scores: Scoring, settings: Settings
) -> dict[tuple[Kind, int], Scores]:
    """Return Fig. 4: each grid of the sweep, or the one kind of features there is, over N."""
    if not settings.sweep:
        return {}
    kinds: Sequence[Kind] = [kind for kind in by_kind if isinstance(kind, str)] or settings.sweep_blocks
    return {
        (kind, n): scores(by_kind[kind].predicted(n, settings.C if settings.C in by_kind[kind].Cs else None))
        for kind in kinds
        for n in settings.sweep_n_features
        if n < len(by_kind[kind].weights)
    }


def weights_by_block(
    weights: NDArray[np.float64], blocks: Blocks | None, kind: Kind
) -> NDArray[np.float64] | None:
    """Sum the lengths of the rows of W over the columns of each block."""
    if blocks is None:
        return None
    if len(weights) % (blocks[0] * blocks[1]):
        raise ValueError(
            f"{title(kind)} has {len(weights)} features, not as many for each of {title(blocks)}; give its "
            "own blocks, or none"
        )
    return weights.reshape(*blocks, -1).sum(axis=2)


def notes_on(
    settings: Settings,
    predictions: FoldPredictions,
    others: Mapping[str, FoldPredictions],
    table: pd.DataFrame,
    without_blocks: str,
) -> list[str]:
    """Return what a reader of the figures should know; `without_blocks` says why there are none, if so.

    `others` are the predictions from other poolings than the paper's.
    """
    counts = table["emotion"].value_counts()
    notes = [f"always {counts.index[0]!r}: {100 * counts.iloc[0] / len(table):.1f} %"]
    most = max(predictions.n_features[:-1])
    if min(predictions.n_rows) < most:
        notes.append(
            f"W has {min(predictions.n_rows)} to {max(predictions.n_rows)} non-zero rows in the folds; with "
            "N above that, the features nearest to entering fill up"
        )
    if settings.protocol == "lovo":
        notes.append("other clips of the subject tested are in the training set: optimistic for new people")
    names = table["dataset"].unique()
    if not table.attrs.get("simulated") and settings.n_features == PAPER_N.get(names[0]):
        notes.append(f"N = {settings.n_features} is what the paper chose by its test clips")
    if settings.classifier == "lda" or settings.class_weight:
        last = "linear discriminant analysis with shrinkage" if settings.classifier == "lda" else "linear SVM"
        weights = ", rare classes weighing as much as frequent ones" if settings.class_weight else ""
        notes.append(f"the classifier is not the paper's: {last}{weights}")
    for pooling, other in others.items():
        if len(other.n_features) == 1:
            d = other.n_features[0]
            notes.append(f"{pooling} has {d} features: no selection of N = {settings.n_features}")
    if "energy" in others and table.attrs.get("simulated"):
        notes.append(
            "energy reads where a face moves, which in the simulation are fixed places of aligned faces for "
            "each class: its figures say less of real clips than those of the other rows"
        )
    if without_blocks:
        notes.append(f"{without_blocks}: no picture of the face")
    return notes
