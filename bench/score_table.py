"""Tables of methods on the same clips: scores with intervals over subjects, and who is ahead of the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from microexpr.experiment import Scores, bootstrap, interval, mcnemar


class Row(NamedTuple):
    """A line of the table: what it is called, the class that it gives each clip, cells of further columns."""

    label: str
    predicted: Sequence[str]
    cells: tuple[str, ...] = ()


def score_table(
    rows: Mapping[Any, Row],
    table: pd.DataFrame,
    first: Any,
    columns: Sequence[str] = (),
    name: str = "method",
) -> list[str]:
    """Write the lines: a row a method, its difference to `first`, where that is a row, on the same clips."""
    y, groups = (table[column].to_numpy(dtype=str) for column in ("emotion", "subject"))
    labels = np.unique(y)
    scores = {key: Scores(y, np.array(row.predicted), groups, labels) for key, row in rows.items()}
    resamples = {key: bootstrap(of_row) for key, of_row in scores.items()}
    heads = (name, "accuracy", "UF1", "UAR", "accuracy against the paper's", "McNemar's p", *columns)
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    sides: dict[str, list[str]] = {"ahead": [], "behind": [], "not told apart": []}
    for key, row in rows.items():
        measures = ("accuracy", "uf1", "uar")
        cells = [percent(getattr(scores[key], measure), resamples[key][measure]) for measure in measures]
        against = ["", ""]
        if key != first and first in rows:
            difference = scores[key].accuracy - scores[first].accuracy
            paired = resamples[key]["accuracy"] - resamples[first]["accuracy"]
            against = [percent(difference, paired, "+"), f"{mcnemar(scores[key], scores[first]).p:.2g}"]
            low, high = interval(paired)
            side = "ahead" if low > 0 else "behind" if high < 0 else "not told apart"
            sides[side].append(f"{row.label} ({100 * difference:+.1f})")
        lines.append(f"| {' | '.join([row.label, *cells, *against, *row.cells])} |")
    if first in rows and len(rows) > 1:
        said = "Accuracy against the paper's recipe, by its 95 % interval over subjects, one row at a time:"
        lines += ["", said, ""]
        lines += [f"- {side}: {'; '.join(names) or 'none'}" for side, names in sides.items()]
    return lines


def percent(value: float, resamples: NDArray, sign: str = "") -> str:
    """Write a share, or with the sign + a difference, and its 95 % interval over subjects."""
    low, high = interval(resamples)
    return f"{100 * value:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
