"""What `microexpr.experiment.evaluate` returns: the rows of the table, their differences, Fig. 4."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._extras import is_installed, require
from .report import column_of, text
from .scores import McNemar, Scores
from .settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from .._store_format import Kind


__all__ = ["QUOTED", "Comparison", "Evaluation", "Row"]

#: Accuracy (%) in the paper's Tables 1 and 2, of the paper and as it quotes others; all of them LOSO.
QUOTED = {
    "CASME": {
        "MPCA [17]": 41.01,
        "DiSTLBP-RIP [19]": 64.33,
        "paper, without selection": 61.07,
        "paper, with selection": 68.64,
    },
    "CASME II": {
        "Sparse sampling [20]": 49.00,
        "DiSTLBP-RIP [19]": 64.78,
        "CNN+LSTM [13]": 60.98,
        "paper, without selection": 63.03,
        "paper, with selection": 66.00,
    },
}


@dataclass(frozen=True, eq=False, repr=False)
class Row:
    """A line of the table.

    Attributes
    ----------
    name : str
        "without selection" or "with selection".
    basis : str
        Where C and N are from: "as published" ("as given" where features, pooling or classifier are not the
        paper's), chosen inside the training folds, or by the test clips. Of another recipe than the paper's
        it says that it is.
    n_features, C : list
        What each fold used; C is None with a classifier that is not the SVM.
    scores : Scores
    intervals : dict
        95 % interval of accuracy, uf1 and uar, (low, high), from a bootstrap over subjects.
    pooling : str
        "rank", which is the paper's or stands for what was given in its place, or another of
        `Settings.poolings`.
    """

    name: str
    basis: str
    n_features: list[int]
    C: list[float | None]
    scores: Scores
    intervals: dict[str, tuple[float, float]]
    pooling: str = "rank"

    def __repr__(self) -> str:
        return f"Row({self.method!r}, {self.basis!r}, {self.scores!r})"

    @property
    def method(self) -> str:
        """Its name, with the pooling before it where that is not the paper's."""
        return self.name if self.pooling == "rank" else f"{self.pooling}, {self.name}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two rows on the same clips.

    Attributes
    ----------
    first, second : int
        Which rows, counted from 0.
    difference : float
        Accuracy of the first less that of the second.
    interval : (float, float)
        Its 95 % interval, from the paired bootstrap over subjects.
    test : McNemar
        Clips that only one of them got right, and McNemar's p.
    """

    first: int
    second: int
    difference: float
    interval: tuple[float, float]
    test: McNemar


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What `evaluate` returns; `microexpr.plots` draws it.

    Attributes
    ----------
    settings : Settings
    table : pandas.DataFrame
        The clips that were tested.
    simulated : bool
        Whether `microexpr.simulate` wrote them.
    rows : list of Row
    comparisons : list of Comparison
    sweep : dict
        Scores for each (features, N) of Fig. 4; empty if it was not asked for.
    features : (int, int) or str
        What the rows are computed from: LTOGP with (down, across) blocks, or other features by their name.
    weights : ndarray of shape (down, across) or None
        How much of W each block of the face has: the lengths of its rows, summed over the block and
        averaged over the folds. None where the features have no blocks.
    n_rows : list of int
        Non-zero rows of W in each fold: features beyond them rank by how near they are to entering.
    gap : float
        Largest relative duality gap of all l2,1 problems solved.
    face : ndarray of shape (height, width) or None
        Mean face, to draw the weights on.
    notes : list of str
        What a reader of the figures should know.
    pins : dict
        Versions and hashes of the data, for `repeat`.
    """

    settings: Settings
    table: pd.DataFrame
    simulated: bool
    rows: list[Row]
    comparisons: list[Comparison]
    sweep: dict[tuple[Kind, int], Scores]
    features: Kind
    weights: NDArray[np.float64] | None
    n_rows: list[int]
    gap: float
    face: NDArray[Any] | None
    notes: list[str]
    pins: dict[str, Any]

    @property
    def quoted(self) -> dict[str, float]:
        """Accuracy (%) that the paper reports on the same clips; empty if it has none that compares."""
        names = self.table["dataset"].unique()
        same = self.table.attrs.get("selection") == "paper" and self.settings.protocol == "loso"
        return QUOTED.get(names[0], {}) if same and len(names) == 1 else {}

    @property
    def source(self) -> str:
        """Where the figures that are not quoted are from: "measured" or "simulated"."""
        return "simulated" if self.simulated else "measured"

    def lines(self) -> list[dict[str, Any]]:
        """Return the table, one dict a line: quoted figures first, then those measured here."""
        lines: list[dict[str, Any]] = [
            {"method": name, "source": "quoted", "basis": "as published", "accuracy": accuracy / 100}
            for name, accuracy in self.quoted.items()
        ]
        for row in self.rows:
            line: dict[str, Any] = {
                "method": row.method,
                "source": self.source,
                "basis": row.basis,
                "N": _range(row.n_features),
                "C": _range(row.C),
            }
            for measure in ("accuracy", "uf1", "uar"):
                line[measure] = getattr(row.scores, measure)
                line[f"{measure} low"], line[f"{measure} high"] = row.intervals[measure]
            recall = zip(row.scores.labels, row.scores.recall, strict=True)
            lines.append(line | {f"recall {label}": float(value) for label, value in recall})
        return lines

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a DataFrame: the columns of `lines`, empty where a line has none."""
        require("a table", "datasets")
        import pandas as pd

        return pd.DataFrame(self.lines())

    def _repr_html_(self) -> str | None:
        """Show the table; of simulated clips every line says so."""
        if not is_installed("datasets"):
            return None
        table = self.to_frame().to_html(index=False, na_rep="", float_format="{:.3f}".format)
        return f"<p>{html.escape(repr(self))}</p>{table}"

    def results(self) -> dict[str, Any]:
        """Return every figure and prediction, in JSON's types."""

        def scored(scores: Scores) -> dict[str, Any]:
            measures = {name: getattr(scores, name) for name in ("accuracy", "uf1", "uar")}
            return measures | {
                "confusion": scores.confusion.tolist(),
                "predictions": scores.predicted.tolist(),
            }

        labels = self.rows[0].scores.labels
        return {
            "labels": labels.tolist(),
            "rows": [
                ({} if row.pooling == "rank" else {"pooling": row.pooling})
                | {"name": row.name, "basis": row.basis, "n_features": row.n_features, "C": row.C}
                | {"recall": dict(zip(labels.tolist(), map(_number, row.scores.recall), strict=True))}
                | {"intervals": {name: list(ends) for name, ends in row.intervals.items()}}
                | {"by_subject": {str(name): list(counts) for name, counts in row.scores.by_subject.items()}}
                | {"by_dataset": {name: [part.uf1, part.uar] for name, part in self.by_dataset(row).items()}}
                | scored(row.scores)
                for row in self.rows
            ],
            "comparisons": [
                {"rows": [pair.first, pair.second], "difference": pair.difference}
                | {"interval": list(pair.interval), "mcnemar": pair.test._asdict()}
                for pair in self.comparisons
            ],
            "sweep": [
                {**column_of(features), "n_features": n} | scored(scores)
                for (features, n), scores in self.sweep.items()
            ],
            "weights": None if self.weights is None else self.weights.tolist(),
            "nonzero_rows": self.n_rows,
            "largest_gap": _number(self.gap),
            "notes": self.notes,
        }

    def by_dataset(self, row: Row) -> dict[str, Scores]:
        """Scores of a row on each data set alone; empty if there is only one."""
        datasets = self.table["dataset"].to_numpy(dtype=str)
        names = list(dict.fromkeys(datasets))
        return {name: row.scores.part(datasets == name) for name in names} if len(names) > 1 else {}

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        """Say the scores and not the arrays."""
        rows = ", ".join(f"{row.method} ({row.basis}) {row.scores.accuracy:.3f}" for row in self.rows)
        return f"Evaluation({len(self.table)} clips, {self.source} accuracy: {rows})"


def _range(values: Sequence[float | None]) -> str:
    """Say what the folds used: a number, or from the smallest to the largest; nothing if they used none."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _number(value: float) -> float | None:
    """Neither NaN nor infinity is JSON."""
    return float(value) if np.isfinite(value) else None
