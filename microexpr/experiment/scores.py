"""Protocols, and scores on pooled predictions with their uncertainty."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, LeaveOneOut
from sklearn.utils import check_consistent_length

from .._checks import is_whole
from .._extras import is_installed, require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PROTOCOLS", "McNemar", "Scores", "bootstrap", "interval", "mcnemar", "splits"]

#: What `splits` takes, and what is left out of the training of a fold.
PROTOCOLS = {
    "loso": "leave one subject out",
    "lovo": "leave one video out",
    "kfold": "k-fold by subject",
    "composite": "leave one subject out of all data sets together",
    "cross": "train on the first data set, test on each other one",
}

#: Of `bootstrap`: more would need gigabytes and change no digit.
MOST_RESAMPLES = 1_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Predictions of all folds pooled, and the scores computed on them.

    Attributes
    ----------
    y, predicted : ndarray of shape (n,)
        True and predicted classes, in the order of the samples given.
    groups : ndarray of shape (n,)
        Subject of each sample.
    labels : ndarray of shape (c,)
        The classes, sorted: the order of the rows and columns of `confusion` and of `recall`.
    clips : ndarray of shape (n,), optional
        Name of each sample; by default its position among those given.

    Raises
    ------
    ValueError
        If the lengths differ, `labels` is not sorted, or a class in y or predicted is not in it.
    """

    y: NDArray[Any]
    predicted: NDArray[Any]
    groups: NDArray[Any]
    labels: NDArray[Any]
    clips: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.clips is None:
            object.__setattr__(self, "clips", np.arange(len(self.y)))
        lengths = [len(getattr(self, name)) for name in ("y", "predicted", "groups", "clips")]
        if len(set(lengths)) > 1:
            raise ValueError(f"y, predicted, groups and clips have {lengths} samples, not as many each")
        if list(self.labels) != sorted(set(self.labels)):
            raise ValueError(f"labels is {list(self.labels)}; it must be sorted, each class once")
        for name in ("y", "predicted"):
            unknown = set(getattr(self, name)) - set(self.labels)
            if unknown:
                raise ValueError(f"{name} holds {str(unknown.pop())!r}, which is not in labels")

    def __repr__(self) -> str:
        """Say the scores and not the arrays."""
        if not len(self.y):
            return "Scores(no sample)"
        return (
            f"Scores(accuracy {self.accuracy:.3f}, UF1 {self.uf1:.3f}, UAR {self.uar:.3f}; "
            f"{len(self.y)} samples of {len(np.unique(self.groups))} subjects in {len(self.labels)} classes)"
        )

    def _repr_html_(self) -> str | None:
        """Show the scores, and the confusion with each class's recall."""
        if not len(self.y) or not is_installed("datasets"):
            return None
        import pandas as pd

        labels = [str(label) for label in self.labels]
        table = pd.DataFrame(self.confusion, pd.Index(labels, name="true \\ predicted"), labels)
        table["recall"] = [f"{100 * value:.1f} %" if value == value else "" for value in self.recall]
        return f"<p>{html.escape(repr(self))}</p>{table.to_html()}"

    @property
    def predictions(self) -> pd.DataFrame:
        """Table of the samples: clip, subject, true and predicted class."""
        require("a table of predictions", "datasets")
        import pandas as pd

        columns = {"clip": self.clips, "subject": self.groups, "true": self.y, "predicted": self.predicted}
        return pd.DataFrame(columns)

    @property
    def accuracy(self) -> float:
        """Share of samples predicted right."""
        return float(accuracy_score(self.y, self.predicted))

    @property
    def uf1(self) -> float:
        """Unweighted F1: the mean of the F1 on the pooled predictions, over the classes that occur in y."""
        f1 = f1_score(self.y, self.predicted, labels=self.labels, average=None, zero_division=0)
        return float(np.mean(f1[np.isin(self.labels, self.y)]))

    @property
    def uar(self) -> float:
        """Unweighted average recall: the mean of `recall` over the classes that occur in y."""
        return float(np.nanmean(self.recall))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Recall of each class, shape (c,); NaN for a class of which there is no sample."""
        return recall_score(self.y, self.predicted, labels=self.labels, average=None, zero_division=np.nan)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, shape (c, c): row = true class, column = predicted class."""
        return confusion_matrix(self.y, self.predicted, labels=self.labels)

    @property
    def by_subject(self) -> dict[object, tuple[int, int]]:
        """Samples predicted right and samples of each subject, in the order of their names."""
        right = self.y == self.predicted
        return {
            subject: (int(right[self.groups == subject].sum()), int((self.groups == subject).sum()))
            for subject in np.unique(self.groups)
        }

    def part(self, mask: ArrayLike) -> Scores:
        """Scores on some of the samples: one data set of several, say."""
        mask = np.asarray(mask, dtype=bool)
        clips = np.asarray(self.clips)[mask]
        return Scores(self.y[mask], self.predicted[mask], self.groups[mask], self.labels, clips)


class McNemar(NamedTuple):
    """Samples that only the first or only the second got right, and the two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def splits(
    protocol: str,
    groups: ArrayLike,
    *,
    datasets: ArrayLike | None = None,
    n_splits: int = 10,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split into the folds of a protocol: indices of the training and the test samples of each.

    Parameters
    ----------
    protocol : {"loso", "lovo", "kfold", "composite", "cross"}
        Leave one subject out; leave one video out (other clips of its subject stay in the training set,
        so it is optimistic for new people); k folds, each subject in one of them; the subjects of all data
        sets together, one left out at a time, as in the composite database evaluation of the
        micro-expression grand challenge; or train on the first data set, test on each other one.
    groups : array-like of shape (n,)
        Subject of each sample.
    datasets : array-like of shape (n,), optional
        Data set of each sample. Subjects of different data sets are different people, whatever their
        names. "composite" and "cross" need at least 2.
    n_splits : int
        Number of folds of "kfold".

    Returns
    -------
    list of (train, test)

    Raises
    ------
    ValueError
        If there is no such protocol, or too few subjects or data sets for it.

    Examples
    --------
    >>> from microexpr.experiment import splits
    >>> for train, test in splits("loso", ["a", "b", "b", "c"]):
    ...     print(train, test)
    [1 2 3] [0]
    [0 3] [1 2]
    [0 1 2] [3]
    """
    subjects = people(groups, datasets)
    sources = np.zeros(len(subjects), int) if datasets is None else column("datasets", datasets)
    names = list(dict.fromkeys(sources.tolist()))  # in the order given: "cross" trains on the first
    n_subjects = len(np.unique(subjects))
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
    if protocol in ("composite", "cross") and len(names) < 2:
        raise ValueError(f"protocol {protocol} needs at least 2 data sets; there is {len(names)}")
    if protocol == "cross":
        train = np.flatnonzero(sources == names[0])
        return [(train, np.flatnonzero(sources == name)) for name in names[1:]]
    if protocol == "lovo":
        return list(LeaveOneOut().split(subjects))
    if n_subjects < 2:
        raise ValueError(f"groups holds {n_subjects} subject(s); leaving one out needs at least 2")
    if protocol == "kfold":
        if not is_whole(n_splits) or not 2 <= n_splits <= n_subjects:
            raise ValueError(
                f"n_splits is {n_splits}; with {n_subjects} subjects it must be 2 to {n_subjects}"
            )
        return list(GroupKFold(n_splits).split(subjects, groups=subjects))
    return list(LeaveOneGroupOut().split(subjects, groups=subjects))


def people(groups: ArrayLike, datasets: ArrayLike | None = None) -> NDArray[Any]:
    """Subject of each sample, with the data set in the name if there are several."""
    subjects = column("groups", groups)
    if datasets is None:
        return subjects
    sources = column("datasets", datasets)
    check_consistent_length(subjects, sources)
    if len(np.unique(sources)) < 2:
        return subjects
    return np.array(  # of tables that `combine` made they have it
        [s if f"{s}".startswith(f"{d}/") else f"{d}/{s}" for d, s in zip(sources, subjects, strict=True)]
    )


def column(name: str, values: Any) -> NDArray[Any]:
    """Return one value a sample, of one type, none of them missing; `name` is for the error."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; its mask would be ignored")
    column = np.asarray(values)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise ValueError(f"{name} has shape {column.shape}; it must be one value a sample, (n,)")
    if column.dtype.kind not in "Of":
        return column
    for i, value in enumerate(column):
        if _is_missing(value):
            raise ValueError(f"{name} holds {value} at sample {i}; it must be there")
    if column.dtype == object:  # of pandas, say
        kinds = {type(value).__name__ for value in column}
        if len({isinstance(value, str) for value in column}) > 1:
            raise TypeError(f"{name} mixes {' and '.join(sorted(kinds))}; it must be texts or numbers")
        column = np.array(column.tolist()) if len(kinds) == 1 else column
    return column


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA
        return True


def check_fold(y: NDArray[Any], groups: NDArray[Any], train: NDArray[Any], test: NDArray[Any]) -> None:
    """Raise if only one class is left to train on."""
    if len(np.unique(y[train])) < 2:
        names = ", ".join(map(str, np.unique(groups[test])))
        raise ValueError(f"without subject {names} all clips are of class {y[train[0]]}")


def bootstrap(scores: Scores, n_resamples: int = 10_000, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Resample the subjects with replacement and compute the scores of each resample.

    Clips of one person are alike, so people are drawn and not clips: an interval over clips would be too
    narrow. The same seed draws the same subjects, so that the resamples of two classifiers on the same
    clips are paired, and their difference is a bootstrap of the difference.

    Parameters
    ----------
    scores : Scores
    n_resamples, seed : int
        How many, and the seed of `numpy.random.default_rng`.

    Returns
    -------
    dict
        "accuracy", "uf1", "uar", each of shape (n_resamples,). As in `Scores`, uf1 and uar are means over
        the classes that occur among the true ones, here of the resample.

    References
    ----------
    Efron, Tibshirani: An introduction to the bootstrap, 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr.experiment import Scores, bootstrap, interval
    >>> y = np.tile(["a", "b"], 10)
    >>> guesses = np.where(np.arange(20) < 15, y, "a")
    >>> scores = Scores(y, guesses, np.repeat(np.arange(5), 4), np.unique(y))
    >>> low, high = interval(bootstrap(scores)["accuracy"])
    >>> float(low), scores.accuracy, float(high)
    (0.65, 0.85, 1.0)
    """
    if not is_whole(n_resamples) or not 1 <= n_resamples <= MOST_RESAMPLES:
        raise ValueError(
            f"n_resamples is {n_resamples!r}; it must be at least 1, and at most {MOST_RESAMPLES}"
        )
    if len(scores.y) == 0:
        raise ValueError("the scores are of no sample")
    subjects, subject = np.unique(scores.groups, return_inverse=True)
    s, c = len(subjects), len(scores.labels)
    cell = np.searchsorted(scores.labels, scores.y) * c + np.searchsorted(scores.labels, scores.predicted)
    confusions = np.zeros((s, c * c))
    np.add.at(confusions, (subject, cell), 1)
    times_drawn = np.random.default_rng(seed).multinomial(s, np.full(s, 1 / s), n_resamples)
    resampled = (times_drawn.astype(float) @ confusions).reshape(-1, c, c)

    hits = np.diagonal(resampled, axis1=1, axis2=2)
    true, predicted = resampled.sum(axis=2), resampled.sum(axis=1)
    occurs = true > 0
    recall = hits / np.where(occurs, true, 1)
    f1 = 2 * hits / np.where(occurs, true + predicted, 1)
    return {
        "accuracy": hits.sum(axis=1) / true.sum(axis=1),
        "uf1": (f1 * occurs).sum(axis=1) / occurs.sum(axis=1),
        "uar": recall.sum(axis=1) / occurs.sum(axis=1),
    }


def interval(resamples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval: the quantiles that leave (1 - level) / 2 of the resamples on either side."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    if np.size(resamples) == 0 or not np.isfinite(resamples).all():
        raise ValueError("resamples is empty or holds NaN or infinity")
    low, high = np.quantile(np.asarray(resamples), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(first: Scores, second: Scores) -> McNemar:
    """Test whether two classifiers err equally often on the same samples (McNemar's exact test).

    Of the samples that exactly one of them got right, under the null hypothesis each is the first's or the
    second's with probability 1/2. The test takes samples as independent, which clips of one subject are
    not; the paired `bootstrap` over subjects doesn't.

    Parameters
    ----------
    first, second : Scores
        Of the same samples in the same order.

    Returns
    -------
    McNemar
        The two counts, and the two-sided binomial p-value, 1 if no sample tells them apart.

    Raises
    ------
    ValueError
        If the samples differ.

    References
    ----------
    McNemar: Note on the sampling error of the difference between correlated proportions. Psychometrika 1947.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr.experiment import Scores, mcnemar
    >>> y = np.repeat("a", 10)
    >>> first = Scores(y, np.array(list("aaaaaaaabb")), y, np.array(["a", "b"]))
    >>> second = Scores(y, np.array(list("abbbbbbbab")), y, np.array(["a", "b"]))
    >>> mcnemar(first, second)
    McNemar(only_first=7, only_second=1, p=0.0703125)
    """
    from scipy.stats import binomtest

    if not (np.array_equal(first.y, second.y) and np.array_equal(first.groups, second.groups)):
        raise ValueError("the two scores are not of the same samples in the same order")
    right, other = first.y == first.predicted, second.y == second.predicted
    b, c = int(np.sum(right & ~other)), int(np.sum(other & ~right))
    return McNemar(b, c, float(binomtest(b, b + c).pvalue) if b + c else 1.0)
