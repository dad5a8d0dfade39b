"""From a table of clips to a `Recogniser`: features, choices, the model, its scores on people left out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold

from l21 import one_blas_thread, received, share

from ._checks import is_positive, is_whole
from ._extras import require
from ._linear_model import (
    LinearModel,
    calibrated_temperature,
    class_pairs,
    decision_values,
    log_probabilities,
)
from ._progress import progress_bar
from ._temporary import temporary_folder
from ._warnings import ignore_user_warnings
from .experiment import PAPER_N, Scores, bootstrap, interval, splits
from .experiment.folds import Fold, Folds, check_table, people_of, predict_folds
from .experiment.pins import versions
from .experiment.scores import check_fold
from .experiment.sources import extract_into
from .features import as_blocks
from .pipeline import check_classifier, make_classifier
from .pooling import POOLINGS, PoolingName, derive, length_of, sufficient
from .recognition import Recogniser, face_distance, root_mean_square, textures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["train"]

Several = Sequence[Any] | Any

#: What ``recipe="auto"`` chooses from, where nothing else is given.
AUTO: dict[str, tuple[Any, ...]] = {
    "pooling": ("rank", "mean+rank", "energy"),
    "n_features": ("all", 75, 200, 450, 950),
    "gamma": (1.0,),
    "C": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
}
_MOST_SPLITS = 1000  # where there are fewer subjects, as many as these
_PER_CHUNK = 256  # mean frames described at a time


class Candidate(NamedTuple):
    """What is chosen by the clips of people left out."""

    pooling: PoolingName
    gamma: float
    n_features: int  # all of them: no selection
    C: float


def train(
    table: pd.DataFrame,
    store: str | os.PathLike[str] | None = None,
    *,
    recipe: Literal["paper", "auto"] = "paper",
    pooling: PoolingName | Sequence[PoolingName] | None = None,
    n_features: int | str | Sequence[int | str] | None = None,
    gamma: float | Sequence[float] | None = None,
    C: float | Sequence[float] | None = None,
    classifier: Literal["svm", "lda"] = "svm",
    class_weight: Literal["balanced"] | None = None,
    blocks: tuple[int, int] = (8, 8),
    parameters: Mapping[str, Any] | None = None,
    n_splits: int | None = None,
    inner_splits: int = 5,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Recogniser:
    """Train a recogniser on every clip of a table, and score it on people left out.

    Features are extracted and pooled; standardised, selected and classified as `make_classifier` does, on all
    clips. The same is done on all clips but those of one subject, for each subject in turn: from what these
    models say of the people that they have not seen come the scores, the temperature of the probabilities,
    and the distances beyond which a clip is unlike anything trained on.

    Of a parameter with several values one is chosen, by the pooled accuracy of `inner_splits` folds of the
    training subjects: for the model by folds of all subjects, and for the scores of a subject by folds of the
    others, so that they are not optimistic. Of equally good ones the first counts.

    Parameters
    ----------
    table : pandas.DataFrame
        As the readers of `microexpr.data`, or `microexpr.experiment.read` for several data sets, give it.
        The classes are its ``emotion``; ``attrs["simulated"]`` says that the clips are not real.
    store : path or URL, optional
        Feature store to use and fill; by default a temporary one.
    recipe : {"paper", "auto"}
        What holds where no values are given: rank pooling, the paper's N (325 on CASME, 450 elsewhere),
        gamma = 1, C = 1; or a choice among poolings, with and without selection, several N and C (`AUTO`).
    pooling : {"rank", "mean", "mean+rank", "energy"} or a list of those
        As in `microexpr.describe`. Only "rank" is the paper's.
    n_features : int, "all", or a list of those
        Features to select, N.
    gamma, C : float or a list of float
        Of the selection, Eq. (4), and of the SVM.
    classifier, class_weight
        As in `microexpr.make_classifier`.
    blocks : (int, int)
        Of LTOGP, down and across.
    parameters : dict, optional
        Of `microexpr.extract`: size, crop, stabilise, and so on. By default those of the store, if there is
        one. The recogniser prepares the clips that it is asked about in the same way.
    n_splits : int, optional
        Leave out a part of the subjects at a time, one of so many; by default one subject.
    inner_splits : int
        Folds, by subject, of each training set, where something is chosen.
    n_jobs : int, optional
        Number of clips, then of fits at a time, as in joblib. The recogniser is the same, bit for bit.
    progress : bool, optional
        Show progress bars; by default only when standard error is a terminal.

    Returns
    -------
    Recogniser

    Raises
    ------
    ValueError
        If no clip can be described, there are fewer than 2 subjects or classes, or a parameter is wrong.
    StoreError
        If `store` is something else, or has other parameters.

    Warns
    -----
    UserWarning
        If clips could not be described; they are named.
    sklearn.exceptions.ConvergenceWarning
        If an l2,1 problem was not solved to its tolerance; the largest gap is in the message.

    References
    ----------
    Niu et al., ICASSP 2019.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(f"{folder}/data", subjects=4, clips=20, frames=(8, 9), progress=False)
    ...     recogniser = microexpr.train(microexpr.read_casme2(root), blocks=(4, 4), n_features=[50, 100],
    ...                                  inner_splits=2, n_jobs=1, progress=False)
    >>> recogniser.about["simulated"], recogniser.about["n_features"] in (50, 100), len(recogniser.classes)
    (True, True, 5)
    """
    require("training from clips", "store")
    effective_n_jobs(n_jobs)
    blocks = as_blocks(blocks)
    _check_splits(n_splits, inner_splits)
    _folds(table, n_splits)  # what is wrong is said before the extraction
    several = _several_values(recipe, table, pooling=pooling, n_features=n_features, gamma=gamma, C=C)
    if classifier == "lda" and C is None:
        several["C"] = (1.0,)  # which it has not
    for value in several["C"]:
        check_classifier(classifier, class_weight, value)
    candidates = _candidates(several, blocks)
    with temporary_folder() as temporary:
        wanted = sufficient(candidate.pooling for candidate in candidates)
        chosen = {"blocks": blocks, "pooling": wanted, "n_jobs": n_jobs, "progress": progress}
        kept = extract_into(table, store, temporary, parameters, **chosen)
        assert kept.store is not None
        table = kept.table
        X = kept.features[blocks]
        frames = kept.store.mean_frames(table)
        noted = {name: value for name, value in kept.store.parameters.items() if name != "pooling"}
        digest = kept.store.digest(table)
    subjects, folds = _folds(table, n_splits)
    y = table["emotion"].to_numpy(dtype=str)
    classes, codes = np.unique(y, return_inverse=True)
    features = {
        name: derive(X, wanted, name, blocks) for name in dict.fromkeys(c.pooling for c in candidates)
    }
    del X

    work = _Work(features, codes, len(classes), classifier, class_weight, n_jobs, progress)
    best = _choose(work, candidates, folds, subjects, inner_splits)
    model, margins, motion, gap = _fit_all(work, best, folds)
    if not gap <= 1e-6:
        message = f"an l2,1 problem was left at a relative duality gap of {gap:.1e}, above 1e-6"
        warnings.warn(message, ConvergenceWarning, stacklevel=2)
    texture, faces = _face_distances(frames, blocks, folds)

    said, temperature = _held_out(margins, codes, len(classes), model.pairs, folds)
    predicted = decision_values(margins, len(classes), model.pairs).argmax(axis=1)
    scores = Scores(y, classes[predicted], subjects, classes)
    final = best[-1]
    n_problems = len(table.attrs.get("problems", [])) + len(kept.problems)
    return Recogniser(
        classes=tuple(classes.tolist()),
        blocks=blocks,
        pooling=final.pooling,
        parameters=noted,
        model=model,
        temperature=temperature,
        face=np.rint(frames.mean(axis=0)).astype(np.uint8),
        texture=texture,
        held_out={"face": np.sort(faces), "motion": np.sort(motion)},
        about={
            "datasets": list(dict.fromkeys(table["dataset"].astype(str))),
            "simulated": bool(table.attrs.get("simulated", False)),
            "clips": len(table),
            "subjects": len(np.unique(subjects)),
            "class_counts": dict(zip(classes.tolist(), np.bincount(codes).tolist(), strict=True)),
            "digest": digest,
            "classifier": classifier,
            "class_weight": class_weight,
            "n_features": final.n_features,
            "C": final.C if classifier == "svm" else None,
            "gamma": final.gamma,
            "chosen_from": len(candidates),
            "gap": gap if np.isfinite(gap) else None,
            "scores": _summary(scores, said, codes, folds, n_splits),
            "versions": versions(),
            "notes": [f"{n_problems} clips could not be read"] if n_problems else [],
        },
    )


class _Work(NamedTuple):
    """Features by pooling, classes, and how models are fitted to them."""

    features: dict[PoolingName, NDArray[np.float64]]
    y: NDArray[np.int64]
    n_classes: int
    classifier: Literal["svm", "lda"]
    class_weight: Literal["balanced"] | None
    n_jobs: int | None
    progress: bool | None


def _several_values(recipe: Any, table: pd.DataFrame, **given: Any) -> dict[str, tuple[Any, ...]]:
    """Return the values that each parameter may have, in the order given."""
    if recipe not in ("paper", "auto"):
        raise ValueError(f'recipe is {recipe!r}; it must be "paper" or "auto"')
    names = table["dataset"].unique()
    N = PAPER_N.get(str(names[0]), 450) if len(names) == 1 else 450
    paper = {"pooling": ("rank",), "n_features": (N,), "gamma": (1.0,), "C": (1.0,)}
    values: dict[str, tuple[Any, ...]] = {}
    for name, value in given.items():
        if value is None:
            values[name] = (AUTO if recipe == "auto" else paper)[name]
        else:
            values[name] = (value,) if isinstance(value, str) or np.ndim(value) == 0 else tuple(value)
        if not values[name] or len(set(values[name])) < len(values[name]):
            raise ValueError(f"{name} is {value!r}; it must be a value, or several that are different")
    for name in values["pooling"]:
        if name not in POOLINGS:
            raise ValueError(f"pooling is {name!r}; it must be one of {', '.join(POOLINGS)}")
    for name in ("gamma", "C"):
        for value in values[name]:
            if not is_positive(value):
                raise ValueError(f"{name} is {value!r}; it must be positive and finite")
    for value in values["n_features"]:
        if value != "all" and not (is_whole(value) and value > 0):
            raise ValueError(f'n_features is {value!r}; it must be a whole number, or "all"')
    return values


def _candidates(several: Mapping[str, Sequence[Any]], blocks: tuple[int, int]) -> list[Candidate]:
    """Return every combination, but for those that select as many features as there are, or more."""
    found: list[Candidate] = []
    for pooling in several["pooling"]:
        d = length_of(pooling, blocks)
        N = [d if n == "all" else int(n) for n in several["n_features"] if n == "all" or n < d]
        if not N and len(several["pooling"]) == 1 and pooling != "energy":
            raise ValueError(
                f"n_features is {several['n_features'][0]}; {pooling} pooling gives {d} features"
            )
        found += [
            Candidate(pooling, float(gamma), n, float(C))
            for gamma in several["gamma"]
            for n in N or [d]  # of 64 block energies there is little to select
            for C in several["C"]
        ]
    return found


def _check_splits(n_splits: Any, inner_splits: Any) -> None:
    if not is_whole(inner_splits) or not 2 <= inner_splits <= _MOST_SPLITS:
        raise ValueError(f"inner_splits is {inner_splits!r}; it must be a whole number, 2 to {_MOST_SPLITS}")
    if n_splits is not None and (not is_whole(n_splits) or n_splits < 2):
        raise ValueError(f"n_splits is {n_splits!r}; it must be at least 2, and a whole number")


def _folds(table: pd.DataFrame, n_splits: int | None) -> tuple[NDArray[Any], list[Fold]]:
    """Return who each clip is of, and the folds that leave people out; raise if it cannot be done."""
    check_table(table)
    subjects, y = people_of(table), table["emotion"].to_numpy(dtype=str)
    if len(np.unique(y)) < 2:
        raise ValueError(f"all clips are of class {y[0]!r}; there must be two classes to tell apart")
    folds = splits("loso", subjects) if n_splits is None else splits("kfold", subjects, n_splits=n_splits)
    for fold in folds:
        check_fold(y, subjects, *fold)
    return subjects, folds


def _choose(
    work: _Work, candidates: list[Candidate], folds: list[Fold], subjects: NDArray[Any], inner_splits: int
) -> list[Candidate]:
    """Return what is chosen for each fold, from its training clips, and last for the model, from all."""
    if len(candidates) == 1:
        return candidates * (len(folds) + 1)

    def inside(clips: NDArray[np.int64]) -> list[Fold]:
        n = min(inner_splits, len(np.unique(subjects[clips])))
        if n < 2:
            raise ValueError("a training set has 1 subject; to choose inside it needs 2: give one value each")
        parts = GroupKFold(n).split(clips, groups=subjects[clips])
        return [(clips[a], clips[b]) for a, b in parts]

    everything = np.arange(len(work.y))
    whole = inside(everything)
    # All training sets are outer folds here: what counts of each is how well its own folds are predicted.
    both = Folds([*folds, *whole], [*(inside(train) for train, _ in folds), *([] for _ in whole)])
    right = np.zeros((len(folds) + 1, len(candidates)), np.int64)
    has_C = work.classifier == "svm"
    other = None if has_C else make_classifier("all", classifier="lda", class_weight=work.class_weight)[-1]
    for pooling, gamma in dict.fromkeys((c.pooling, c.gamma) for c in candidates):
        these = [k for k, c in enumerate(candidates) if (c.pooling, c.gamma) == (pooling, gamma)]
        X = work.features[pooling]
        found = predict_folds(
            X,
            work.y,
            both,
            list(dict.fromkeys([*(candidates[k].n_features for k in these), X.shape[1]])),
            list(dict.fromkeys(candidates[k].C for k in these)) if has_C else [None],
            gamma,
            other,
            class_weight=work.class_weight if has_C else None,
            name=f"choose: {pooling}",
            n_jobs=work.n_jobs,
            progress=work.progress,
        )
        for k in these:
            n = found.n_features.index(candidates[k].n_features)
            C = found.Cs.index(candidates[k].C) if has_C else 0
            right[:-1, k] = found.inner[: len(folds), n, C]
            right[-1, k] = (found.predictions[n, C] == work.y).sum()
    return [candidates[k] for k in right.argmax(axis=1)]


def _fit_all(
    work: _Work, chosen: list[Candidate], folds: list[Fold]
) -> tuple[LinearModel, NDArray[np.float64], NDArray[np.float64], float]:
    """Fit the model, and each fold's: their margins of the clips left out, and the distances of these."""
    everything = np.arange(len(work.y))
    tasks = [*folds, (everything, everything[:0])]
    data = {pooling: share(X, work.y) for pooling, X in work.features.items()}
    fits = Parallel(n_jobs=work.n_jobs, return_as="generator")(
        delayed(_fit)(data[candidate.pooling], fold, candidate, work.classifier, work.class_weight)
        for candidate, fold in zip(chosen, tasks, strict=True)
    )
    found = list(progress_bar(fits, "train", len(tasks), "fit", work.progress))
    model = found[-1].model
    margins, motion = np.full((len(work.y), len(model.intercept)), np.nan), np.zeros(len(work.y))
    for (_, test), fit in zip(folds, found, strict=False):
        known = fit.classes.tolist()  # a fold may lack a class, and then its pairs
        pairs = class_pairs(work.n_classes)
        of_pairs = [pairs.index((known[i], known[j])) for i, j in class_pairs(len(known))]
        columns = np.array(of_pairs if model.pairs else known)
        margins[np.ix_(test, columns)] = fit.margins
        motion[test] = fit.motion
    return model, margins, motion, float(np.max([fit.gap for fit in found]))  # a NaN stays


class _Fit(NamedTuple):
    model: LinearModel
    classes: NDArray[np.int64]
    gap: float
    margins: NDArray[np.float64]  # of the clips left out
    motion: NDArray[np.float64]


def _fit(data: Any, fold: Fold, candidate: Candidate, classifier: Any, class_weight: Any) -> _Fit:
    (X, y), (train, test) = received(data), fold
    n = candidate.n_features if candidate.n_features < X.shape[1] else "all"
    pipeline = make_classifier(
        n, candidate.gamma, candidate.C, classifier=classifier, class_weight=class_weight
    )
    with one_blas_thread(), ignore_user_warnings():  # of W = 0 and of gaps it is told once, of all folds
        pipeline.fit(X[train], y[train])
    model = LinearModel.of(pipeline)
    gap = 0.0 if n == "all" else float(pipeline["select"].dual_gap_)
    motion = root_mean_square(model.standardised(X[test]))
    return _Fit(model, pipeline.classes_, gap, model.margins(X[test]), motion)


def _held_out(
    margins: NDArray[np.float64], y: NDArray[np.int64], n_classes: int, pairs: bool, folds: list[Fold]
) -> tuple[NDArray[np.float64], float]:
    """Return what is said of each clip, with the temperature of the other folds, and that of all folds."""
    said = np.empty((len(y), n_classes))
    for train, test in folds:
        temperature = calibrated_temperature(margins[train], y[train], n_classes, pairs)
        said[test] = log_probabilities(margins[test], temperature, n_classes, pairs)
    return said, calibrated_temperature(margins, y, n_classes, pairs)


def _face_distances(
    frames: NDArray[np.uint8], blocks: tuple[int, int], folds: list[Fold]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of the clips' textures, and each clip's distance from those of other people."""
    n, d = len(frames), blocks[0] * blocks[1] * 256
    sums, at = np.zeros((len(folds), d)), np.zeros(n, np.intp)
    for k, (_, test) in enumerate(folds):
        at[test] = k
    chunks = [slice(start, start + _PER_CHUNK) for start in range(0, n, _PER_CHUNK)]
    for chunk in chunks:
        np.add.at(sums, at[chunk], textures(frames[chunk], blocks))
    total, counts = sums.sum(axis=0), np.bincount(at, minlength=len(folds))
    distances = np.empty(n)
    for chunk in chunks:
        others = (total - sums[at[chunk]]) / (n - counts[at[chunk]])[:, None]
        distances[chunk] = face_distance(textures(frames[chunk], blocks), others)
    return total / n, distances


def _summary(
    scores: Scores, said: NDArray[np.float64], y: NDArray[np.int64], folds: list[Fold], n_splits: int | None
) -> dict[str, Any]:
    """Return the scores on people left out, in JSON's types; beside the log loss that of the shares."""
    resamples = bootstrap(scores)
    shares = np.empty_like(said)
    for train, test in folds:
        counts = np.bincount(y[train], minlength=said.shape[1]) + 1.0
        shares[test] = np.log(counts / counts.sum())
    each = np.arange(len(y)), y
    return {
        **{name: [getattr(scores, name), *interval(values)] for name, values in resamples.items()},
        # Of a class that a fold does not know it says 0: such a clip counts as a billionth of certainty.
        "log_loss": [-float(np.maximum(of[each], np.log(1e-9)).mean()) for of in (said, shares)],
        "confusion": scores.confusion.tolist(),
        "folds": "leave one subject out" if n_splits is None else f"{n_splits} folds of the subjects",
    }
