"""What `microexpr evaluate` gives: the settings, the rows of the table, how they are printed and saved."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._checks import is_whole
from .scores import MOST_RESAMPLES, PROTOCOLS, McNemar, Scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "PAPER_N", "QUOTED", "Comparison", "Evaluation", "Row", "Settings"]

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

#: N that the paper reads off its Fig. 4.
PAPER_N = {"CASME": 325, "CASME II": 450}

#: Of evaluation.json.
FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """What decides the result beside the data.

    Attributes
    ----------
    protocol : str
        One of `microexpr.experiment.PROTOCOLS`.
    blocks : int
        Blocks down and across, of the tables.
    n_features : int
        N of the tables. None is the paper's: 325 on CASME, 450 on CASME II, and here 450 on others.
    gamma, C : float
        Of Eq. (4) and of the SVM.
    sweep : bool
        Whether to compute Fig. 4.
    nested : bool
        Whether to choose C and N inside the training folds too, beside those given.
    sweep_blocks, sweep_n_features : tuple of int
        Of Fig. 4. The text says of the paper's range of N no more than that 325 and 450 are in it. What N is
        chosen from inside the training folds is `sweep_n_features` too.
    C_grid : tuple of float
        What C is chosen from inside the training folds.
    n_splits, inner_splits : int
        Folds of the protocol "kfold"; folds, by subject, of each training set.
    n_resamples, seed : int
        Of the bootstrap.
    """

    protocol: str = "loso"
    blocks: int = 8
    n_features: int | None = None
    gamma: float = 1.0
    C: float = 1.0
    sweep: bool = True
    nested: bool = True
    sweep_blocks: tuple[int, ...] = (4, 6, 8, 10, 12)
    sweep_n_features: tuple[int, ...] = (75, 200, 325, 450, 575, 700, 825, 950)
    C_grid: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    n_splits: int = 10
    inner_splits: int = 5
    n_resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # JSON has lists only
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
        for name in ("gamma", "C"):
            if not _is_positive(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be positive and finite")
        for name in ("blocks", "n_features", "n_resamples"):
            value = getattr(self, name)
            if not (value is None and name == "n_features") and not (is_whole(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; it must be positive, and a whole number")
        if self.n_resamples > MOST_RESAMPLES:
            raise ValueError(f"n_resamples is {self.n_resamples}; {MOST_RESAMPLES} are the most")
        for name, is_kind in (
            ("sweep_blocks", is_whole),
            ("sweep_n_features", is_whole),
            ("C_grid", _is_positive),
        ):
            values = getattr(self, name)
            right = isinstance(values, tuple) and values and all(is_kind(v) and v > 0 for v in values)
            if not right or list(values) != sorted(set(values)):
                whole = "whole " if is_kind is is_whole else ""
                raise ValueError(f"{name} is {values!r}; it must be positive {whole}numbers in rising order")
        for name, least in (("inner_splits", 2), ("n_splits", 2), ("seed", 0)):
            value = getattr(self, name)
            if not is_whole(value) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be at least {least}, and a whole number")
        for name in ("sweep", "nested"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be True or False")

    @property
    def grids(self) -> list[tuple[int, int]]:
        """Every (down, across) of blocks whose features are needed."""
        return [(b, b) for b in sorted({self.blocks, *(self.sweep_blocks if self.sweep else ())})]


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf


@dataclass(frozen=True, eq=False)
class Row:
    """A line of the table.

    Attributes
    ----------
    name : str
        "without selection" or "with selection".
    basis : str
        Where C and N are from: "as published" (as given), chosen inside the training folds, or by the
        test clips.
    n_features, C : list
        What each fold used.
    scores : Scores
    intervals : dict
        95 % interval of accuracy, uf1 and uar, (low, high), from a bootstrap over subjects.
    """

    name: str
    basis: str
    n_features: list[int]
    C: list[float]
    scores: Scores
    intervals: dict[str, tuple[float, float]]


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


@dataclass(frozen=True, eq=False)
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
        Scores for each (blocks, N) of Fig. 4; empty if it was not asked for.
    weights : ndarray of shape (blocks, blocks)
        How much of W each block of the face has: the lengths of its rows, summed over the block and
        averaged over the folds.
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
    sweep: dict[tuple[int, int], Scores]
    weights: NDArray[np.float64]
    n_rows: list[int]
    gap: float
    face: NDArray | None
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
                "method": row.name,
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

    def results(self) -> dict[str, Any]:
        """Return every figure and prediction, in JSON's types."""

        def scored(scores: Scores) -> dict[str, Any]:
            measures = {name: getattr(scores, name) for name in ("accuracy", "uf1", "uar")}
            return measures | {
                "confusion": scores.confusion.tolist(),
                "predictions": scores.predictions.tolist(),
            }

        labels = self.rows[0].scores.labels
        return {
            "labels": labels.tolist(),
            "rows": [
                {"name": row.name, "basis": row.basis, "n_features": row.n_features, "C": row.C}
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
                {"blocks": blocks, "n_features": n} | scored(scores)
                for (blocks, n), scores in self.sweep.items()
            ],
            "weights": self.weights.tolist(),
            "nonzero_rows": self.n_rows,
            "largest_gap": self.gap,
            "notes": self.notes,
        }

    def by_dataset(self, row: Row) -> dict[str, Scores]:
        """Scores of a row on each data set alone; empty if there is only one."""
        datasets = self.table["dataset"].to_numpy(dtype=str)
        names = list(dict.fromkeys(datasets))
        return {name: row.scores.part(datasets == name) for name in names} if len(names) > 1 else {}

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write evaluation.json (all of it; what `repeat` takes), the same as text and CSV; return the paths.

        table.csv has the rows, comparisons.csv their differences, sweep.csv Fig. 4, subjects.csv how many
        clips of each subject are right, predictions.csv each clip, weights.csv the share of W in each
        block of the face.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "simulated": self.simulated,
            "settings": dataclasses.asdict(self.settings),
            **self.pins,
            "results": self.results(),
        }
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "evaluation.json").write_text(text + "\n", encoding="utf-8")

        names = [f"{i} {row.name} ({row.basis})" for i, row in enumerate(self.rows)]
        tables: dict[str, list[dict]] = {"table": self.lines()}
        tables["comparisons"] = [
            {"first": names[pair.first], "second": names[pair.second], "difference": pair.difference}
            | {"low": pair.interval[0], "high": pair.interval[1]}
            | {"only first right": pair.test.only_first, "only second right": pair.test.only_second}
            | {"McNemar p": pair.test.p}
            for pair in self.comparisons
        ]
        tables["sweep"] = [
            {"blocks": blocks, "N": n, "accuracy": scores.accuracy, "uf1": scores.uf1, "uar": scores.uar}
            for (blocks, n), scores in self.sweep.items()
        ]
        by_subject = [row.scores.by_subject for row in self.rows]
        tables["subjects"] = [
            {"subject": subject, "clips": by_subject[0][subject][1]}
            | {name: counts[subject][0] for name, counts in zip(names, by_subject, strict=True)}
            for subject in by_subject[0]
        ]
        tables["predictions"] = [
            {"dataset": clip.dataset, "subject": clip.subject, "clip": clip.clip, "true": clip.emotion}
            | {name: row.scores.predictions[i] for name, row in zip(names, self.rows, strict=True)}
            for i, clip in enumerate(self.table.itertuples())
        ]
        tables["weights"] = [
            {"down": i, "across": j, "share": share}
            for (i, j), share in np.ndenumerate(self.weights / (self.weights.sum() or 1.0))
        ]
        (folder / "evaluation.txt").write_text(f"{self}\n", encoding="utf-8")
        written = [folder / "evaluation.json", folder / "evaluation.txt"]
        for name, lines in tables.items():
            path = folder / f"{name}.csv"
            if not lines:  # no sweep: none of an earlier run either
                path.unlink(missing_ok=True)
                continue
            with path.open("w", newline="", encoding="utf-8") as file:
                lines = [{"source": self.source, **line} for line in lines]
                columns = list(dict.fromkeys(key for line in lines for key in line))
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(lines)
            written.append(path)
        return written

    def __str__(self) -> str:
        return "\n".join(_text(self))


# What is printed.


def _text(evaluation: Evaluation) -> Iterator[str]:
    table, settings = evaluation.table, evaluation.settings
    datasets = list(dict.fromkeys(table["dataset"]))
    if evaluation.simulated:
        yield "SIMULATED clips, not real micro-expressions: every figure that is not quoted is simulated."
    n_subjects = len(table[["dataset", "subject"]].drop_duplicates())
    yield (
        f"{', '.join(datasets)}: {len(table)} clips of {n_subjects} subjects tested; "
        f"{PROTOCOLS[settings.protocol]}; scores on pooled predictions; "
        f"{settings.blocks} x {settings.blocks} blocks; gamma = {settings.gamma:g}"
    )
    yield ""
    yield from _table(evaluation)
    yield ""
    yield from _recall(evaluation)
    yield ""
    for pair in evaluation.comparisons:
        first, second = evaluation.rows[pair.first], evaluation.rows[pair.second]
        low, high = (100 * end for end in pair.interval)
        yield (
            f"{_label(first)}, against {_label(second)}: {100 * pair.difference:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}]; McNemar's p = {pair.test.p:.2g} (clips right only in the first: "
            f"{pair.test.only_first}, only in the second: {pair.test.only_second})"
        )
    if evaluation.sweep:
        yield ""
        yield from _sweep(evaluation)
    if evaluation.notes:
        yield ""
        yield from (f"note: {note}" for note in evaluation.notes)


def _table(evaluation: Evaluation) -> Iterator[str]:
    lines = evaluation.lines()
    width = max(len(f"{line['method']}, {line['basis']}") for line in lines)
    source = evaluation.source
    yield f"{'':<11}{'':<{width}}{'N':>11}{'C':>16}{'accuracy':>10}  95 % interval{'UF1':>7}{'UAR':>7}"
    for line in lines:
        accuracy = 100 * line["accuracy"]
        if line["source"] == "quoted":
            yield f"{'quoted':<11}{line['method']:<{width}}{'':>27}{accuracy:>8.2f} %"
            continue
        ends = f"[{100 * line['accuracy low']:.1f}, {100 * line['accuracy high']:.1f}]"
        yield (
            f"{source:<11}{line['method'] + ', ' + line['basis']:<{width}}{line['N']:>11}{line['C']:>16}"
            f"{accuracy:>8.1f} %  {ends:>13}{line['uf1']:>7.3f}{line['uar']:>7.3f}"
        )
    for row in evaluation.rows[:2]:
        for name, part in evaluation.by_dataset(row).items():
            yield (
                f"{source:<11}{'  ' + row.name + ', ' + name:<{width}}{'':>27}{100 * part.accuracy:>8.1f} %"
                f"{'':>15}{part.uf1:>7.3f}{part.uar:>7.3f}"
            )


def _recall(evaluation: Evaluation) -> Iterator[str]:
    labels = evaluation.rows[0].scores.labels
    width = max(len(_label(row)) for row in evaluation.rows)
    yield f"{f'recall, %, {evaluation.source}':<{width + 2}}" + "".join(
        f"{label:>{max(8, len(label) + 2)}}" for label in labels
    )
    for row in evaluation.rows:
        recall = dict(zip(row.scores.labels, row.scores.recall, strict=True))
        cells = (f"{100 * recall.get(label, np.nan):>{max(8, len(label) + 2)}.1f}" for label in labels)
        yield f"{_label(row):<{width + 2}}" + "".join(cells)


def _sweep(evaluation: Evaluation) -> Iterator[str]:
    blocks = list(dict.fromkeys(b for b, _ in evaluation.sweep))
    several = list(dict.fromkeys(n for _, n in evaluation.sweep))
    yield f"Fig. 4: accuracy, %, {evaluation.source}; its best cell is chosen by the test clips: optimistic"
    yield f"{'blocks':<10}" + "".join(f"{'N = ' + str(n):>9}" for n in several)
    for b in blocks:
        cells = (f"{100 * evaluation.sweep[b, n].accuracy:>9.1f}" for n in several)
        yield f"{f'{b} x {b}':<10}" + "".join(cells)


def _label(row: Row) -> str:
    return f"{row.name}, {row.basis}"


def _range(values: Sequence[float]) -> str:
    """Say what the folds used: a number, or from the smallest to the largest."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _number(value: float) -> float | None:
    """NaN is not JSON."""
    return None if np.isnan(value) else float(value)
