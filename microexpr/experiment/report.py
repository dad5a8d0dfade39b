"""An evaluation as text and as files; its pictures are in `microexpr.plots`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._csv_file import write_csv
from .pins import FORMAT
from .scores import PROTOCOLS
from .settings import blocks_to_json, title

if TYPE_CHECKING:
    from .._store_format import Kind
    from .results import Evaluation, Row

__all__ = ["save_evaluation", "text"]


def text(evaluation: Evaluation) -> str:
    """Return what is printed of an evaluation: the table, recalls, differences, Fig. 4, notes."""
    return "\n".join(_lines(evaluation))


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return all of an evaluation in JSON's types: what evaluation.json has."""
    return {
        "format": FORMAT,
        "simulated": evaluation.simulated,
        "settings": evaluation.settings.to_json(),
        **evaluation.pins,
        "results": evaluation.results(),
    }


def save_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> list[Path]:
    """Write evaluation.json (all of it; what `repeat` takes), the same as text and CSV; return the paths.

    table.csv has the rows, comparisons.csv their differences, sweep.csv Fig. 4, subjects.csv how many
    clips of each subject are right, predictions.csv each clip, weights.csv the share of W in each
    block of the face.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "evaluation.json", folder / "evaluation.txt"]
    dumped = json.dumps(as_json(evaluation), indent=1, ensure_ascii=False, allow_nan=False)
    written[0].write_text(dumped + "\n", encoding="utf-8")
    written[1].write_text(f"{text(evaluation)}\n", encoding="utf-8")

    names = [f"{i} {row.method} ({row.basis})" for i, row in enumerate(evaluation.rows)]
    tables: dict[str, list[dict[str, Any]]] = {"table": evaluation.lines()}
    tables["comparisons"] = [
        {"first": names[pair.first], "second": names[pair.second], "difference": pair.difference}
        | {"low": pair.interval[0], "high": pair.interval[1]}
        | {"only first right": pair.test.only_first, "only second right": pair.test.only_second}
        | {"McNemar p": pair.test.p}
        for pair in evaluation.comparisons
    ]
    tables["sweep"] = [
        {**column_of(features), "N": n}
        | {measure: getattr(scores, measure) for measure in ("accuracy", "uf1", "uar")}
        for (features, n), scores in evaluation.sweep.items()
    ]
    by_subject = [row.scores.by_subject for row in evaluation.rows]
    tables["subjects"] = [
        {"subject": subject, "clips": by_subject[0][subject][1]}
        | {name: counts[subject][0] for name, counts in zip(names, by_subject, strict=True)}
        for subject in by_subject[0]
    ]
    tables["predictions"] = [
        {"dataset": clip.dataset, "subject": clip.subject, "clip": clip.clip, "true": clip.emotion}
        | {name: row.scores.predicted[i] for name, row in zip(names, evaluation.rows, strict=True)}
        for i, clip in enumerate(evaluation.table.itertuples())
    ]
    weights = np.empty((0, 0)) if evaluation.weights is None else evaluation.weights
    tables["weights"] = [
        {"down": i, "across": j, "share": share}
        for (i, j), share in np.ndenumerate(weights / (weights.sum() or 1.0))
    ]
    for name, lines in tables.items():
        path = folder / f"{name}.csv"
        if not lines:  # no sweep, no blocks: none of an earlier run either
            path.unlink(missing_ok=True)
            continue
        write_csv(path, [{"source": evaluation.source, **line} for line in lines])
        written.append(path)
    return written


def column_of(features: Kind) -> dict[str, int | list[int] | str]:
    """Return the column that says in a file which features a line is of: blocks for LTOGP."""
    return {"features": features} if isinstance(features, str) else {"blocks": blocks_to_json(features)}


def _lines(evaluation: Evaluation) -> Iterator[str]:
    table, settings = evaluation.table, evaluation.settings
    datasets = list(dict.fromkeys(table["dataset"]))
    if evaluation.simulated:
        yield "SIMULATED clips, not real micro-expressions: every figure that is not quoted is simulated."
    n_subjects = len(table[["dataset", "subject"]].drop_duplicates())
    yield (
        f"{', '.join(datasets)}: {len(table)} clips of {n_subjects} subjects tested; "
        f"{PROTOCOLS[settings.protocol]}; scores on pooled predictions; "
        f"{title(evaluation.features)}; gamma = {settings.gamma:g}"
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
    kinds = list(dict.fromkeys(features for features, _ in evaluation.sweep))
    n_features = list(dict.fromkeys(n for _, n in evaluation.sweep))
    titles = [title(features).removesuffix(" blocks") for features in kinds]
    width = max(10, *(len(words) + 2 for words in titles))
    yield f"Fig. 4: accuracy, %, {evaluation.source}; its best cell is chosen by the test clips: optimistic"
    (heading,) = column_of(kinds[0])
    yield f"{heading:<{width}}" + "".join(f"{'N = ' + str(n):>9}" for n in n_features)
    for features, words in zip(kinds, titles, strict=True):
        cells = (f"{100 * evaluation.sweep[features, n].accuracy:>9.1f}" for n in n_features)
        yield f"{words:<{width}}" + "".join(cells)


def _label(row: Row) -> str:
    return f"{row.method}, {row.basis}"
