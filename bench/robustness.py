"""Under which conditions the method is worth using, and which recipe is best under each: simulated clips.

    python bench/robustness.py                           # drawn faces
    python bench/robustness.py --faces FACES             # portraits
    python bench/robustness.py --difficulty real         # the harder simulation, see docs/simulation.md
    python bench/robustness.py --only drift-1 noise-2 --clips 60 --subjects 10

Each condition changes one thing of the default: the head's drift, the sensor's noise, the size of the frames.
Its clips are read in each of several ways (as they are, stabilised, cropped by `microexpr crop` where frames
are large) and described once; the recipes differ in pooling and selection. One subject is left out; C and N
are chosen inside the training folds. Which way and recipe is best under a condition is chosen on clips of
--choose-seed, and its accuracy is that on the clips of --seed, which nothing was chosen on.

What is done is kept in OUT, a file a condition and seed, and computed again where this code has changed.
OUT/robustness.md has the tables; --doc writes them into a page of the docs too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from comparators.classifiers import selected_svm, svm
from compare import HERE, command_of, name_of_faces, prepare, publish, stored
from numpy.typing import NDArray
from score_table import percent
from tqdm import tqdm

import microexpr
from microexpr.data import crop_clips, read_manifest
from microexpr.experiment import Scores, bootstrap
from microexpr.pooling import derive

LARGE = (340, 280)  # about the size of CASME II's cropped frames
CONDITIONS: dict[str, dict[str, Any]] = {
    "drift-0.1": {"drift": 0.1},  # the default of `simulate`, with noise 1
    "drift-0.5": {"drift": 0.5},
    "drift-1": {"drift": 1.0},
    "drift-2": {"drift": 2.0},
    "noise-2": {"noise": 2.0},
    "340x280": {"size": LARGE},
}
WAYS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "subpixel": {"stabilise": "subpixel"},
    "tiles": {"stabilise": "tiles"},
    "tiles, blur 1": {"stabilise": "tiles", "blur": 1.0},
}
RECIPES = {
    "rank, N inside": ("rank", selected_svm),  # the paper's
    "rank, all": ("rank", svm),
    "mean+rank, all": ("mean+rank", svm),
    "energy, all": ("energy", svm),
}
PAPER = ("as they are", "rank, N inside")
BLOCKS = (8, 8)

Key = tuple[str, str]  # a way to read and a recipe


class Outcome(NamedTuple):
    """A condition's clips of one seed, and what each way and recipe says of them."""

    y: NDArray
    subjects: NDArray
    predicted: dict[Key, NDArray]

    def scores(self, key: Key) -> Scores:
        """Return the scores of a way and recipe."""
        return Scores(self.y, self.predicted[key], self.subjects, np.unique(self.y))


class Kept(NamedTuple):
    """An outcome as OUT holds it."""

    key: str  # of the code
    y: list[str]
    subjects: list[str]
    predicted: list[tuple[str, str, list[str]]]  # way, recipe, the class of each clip


# --------------------------------------------------------------------------------------------- one condition


def outcome_of(condition: str, seed: int, options: argparse.Namespace) -> Outcome:
    """Run a condition on one seed, or read what was kept of it."""
    of_what = f"{options.difficulty}-{name_of_faces(options.faces)}-{options.clips}-{options.subjects}"
    path = options.out / f"{condition}-{of_what}-{seed}.json"
    kept = stored(path, Kept, key_of_code())
    if kept is None:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(condition, seed, options, Path(folder))
        predicted = [(*key, labels.tolist()) for key, labels in outcome.predicted.items()]
        kept = Kept(key_of_code(), outcome.y.tolist(), outcome.subjects.tolist(), predicted)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(kept._asdict()))
        unfinished.replace(path)
    of_keys = {(way, recipe): np.array(labels) for way, recipe, labels in kept.predicted}
    return Outcome(np.array(kept.y), np.array(kept.subjects), of_keys)


def key_of_code() -> str:
    """Tell whether what is kept still holds: it depends on this file and on what it classifies by."""
    paths = (Path(__file__), HERE / "comparators/classifiers.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def run(condition: str, seed: int, options: argparse.Namespace, folder: Path) -> Outcome:
    """Simulate the clips, describe them in every way and predict them by every recipe."""
    root = microexpr.simulate(
        folder / "clips",
        clips=options.clips,
        subjects=options.subjects,
        faces=options.faces,
        difficulty=options.difficulty,
        seed=seed,
        **CONDITIONS[condition],
    )
    table = microexpr.read_casme2(root)
    y, subjects, names = (table[name].to_numpy(dtype=str) for name in ("emotion", "subject", "clip"))
    row_of = {clip: row for row, clip in enumerate(zip(subjects, names, strict=True))}
    predicted: dict[Key, NDArray] = {}
    for way, read_as, clips in ways_to_read(condition, table, folder):
        extraction = microexpr.extract(clips, blocks=BLOCKS, pooling="mean+rank", **read_as)
        read = extraction.table[["subject", "clip"]].astype(str).itertuples(index=False, name=None)
        rows = [row_of[clip] for clip in read]
        for recipe, (pooling, classify) in RECIPES.items():
            X = derive(extraction.features[BLOCKS], "mean+rank", pooling, BLOCKS)
            predicted[way, recipe] = always_wrong(y)  # a clip in which no face was found
            predicted[way, recipe][rows] = classify(X, extraction.table)
    return Outcome(y, subjects, predicted)


def ways_to_read(
    condition: str, table: pd.DataFrame, folder: Path
) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Yield the name of each way, its options of `extract` and the clips."""
    for way, read_as in WAYS.items():
        yield way, read_as, table
    if CONDITIONS[condition].get("size") == LARGE:
        clips = read_manifest(crop_clips(table, folder / "cropped").manifest)
        yield "cropped", {}, clips
        yield "cropped, tiles, blur 1", WAYS["tiles, blur 1"], clips


def always_wrong(y: NDArray) -> NDArray:
    """Return for each clip a class that it is not of."""
    classes, index = np.unique(y, return_inverse=True)
    return classes[(index + 1) % len(classes)]


# ------------------------------------------------------------------------------------------------- the tables


def tables_of(outcomes: dict[tuple[str, int], Outcome], options: argparse.Namespace) -> list[str]:
    """Write what is best under each condition, and all accuracies on the clips that nothing was chosen on."""
    conditions = list(dict.fromkeys(condition for condition, _ in outcomes))
    y, subjects = next(iter(outcomes.values()))[:2]
    lines = [
        f"`{command_of(options)}`: {len(y)} **simulated** clips a condition, of {len(set(subjects))} "
        f"{'drawn faces' if options.faces is None else 'portraits'}, seed {options.seed}; best by seed "
        f"{options.choose_seed}. Accuracy in %, with 95 % intervals over subjects.",
        "",
        "| condition | best on the other seed | its accuracy | the paper's recipe, frames as they are "
        "| difference | largest class |",
        "|" + " --- |" * 6,
    ]
    for condition in conditions:
        choose, outcome = outcomes[condition, options.choose_seed], outcomes[condition, options.seed]
        best = max(choose.predicted, key=lambda key: choose.scores(key).accuracy)
        scores = {key: outcome.scores(key) for key in (best, PAPER)}
        resamples = {key: bootstrap(scores[key])["accuracy"] for key in scores}
        accuracy = {key: scores[key].accuracy for key in scores}
        cells = [
            condition,
            "; ".join(best),
            percent(accuracy[best], resamples[best]),
            percent(accuracy[PAPER], resamples[PAPER]),
            percent(accuracy[best] - accuracy[PAPER], resamples[best] - resamples[PAPER], "+"),
            f"{100 * max(np.unique(outcome.y, return_counts=True)[1]) / len(outcome.y):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    keys = list(
        dict.fromkeys(key for condition in conditions for key in outcomes[condition, options.seed].predicted)
    )
    lines += ["", f"| read; recipe | {' | '.join(conditions)} |", "|" + " --- |" * (1 + len(conditions))]
    for key in keys:
        cells = []
        for condition in conditions:
            outcome = outcomes[condition, options.seed]
            scored = outcome.scores(key) if key in outcome.predicted else None
            cells.append("" if scored is None else f"{100 * scored.accuracy:.1f}")
        lines.append(f"| {'; '.join(key)} | {' | '.join(cells)} |")
    return lines


# ---------------------------------------------------------------------------------------------- command line


def main(arguments: list[str]) -> int:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="portraits (default: drawn faces)")
    parser.add_argument("--difficulty", choices=("easy", "real"), default="easy")
    parser.add_argument("--only", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--clips", type=int, default=120, help="of each condition (%(default)s)")
    parser.add_argument("--subjects", type=int, default=20, help="that they are of (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the clips reported (%(default)s)")
    parser.add_argument("--choose-seed", type=int, default=1, help="of those chosen on (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("microexpr-robustness"), metavar="FOLDER")
    parser.add_argument("--doc", type=Path, metavar="PAGE", help="write the tables into this page as well")
    parser.add_argument(
        "--place", metavar="NAME", default="robustness", help="where there: <!-- comparison NAME -->"
    )
    options = parser.parse_args(arguments)
    if options.seed == options.choose_seed:
        parser.error("--choose-seed must be another than --seed")
    warnings.filterwarnings("ignore", "only .* rows of W")  # where N is larger, the nearest rows fill up
    prepare(options, parser)
    todo = [(condition, seed) for condition in options.only for seed in (options.choose_seed, options.seed)]
    outcomes = {key: outcome_of(*key, options) for key in tqdm(todo, "conditions", unit="condition")}
    publish(tables_of(outcomes, options), options, "robustness.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
