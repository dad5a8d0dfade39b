"""The paper's recipe with one part exchanged at a time, or every combination: tables of what each part does.

    python bench/ablate.py simulated                      # one part at a time, 246 simulated clips
    python bench/ablate.py casme2 CASME2 --only pooling   # some of the parts
    python bench/ablate.py simulated --full               # every combination
    python bench/ablate.py --list                         # what there is of each part

Clips, folds, scores and options are those of compare.py. The parts are the descriptor of the frames, the
pooling over time (each whole, and as log energy per block) and the selection; and, with the paper's pooling
and selection, the readings of its Fig. 2, whose picture of the eight templates is not in its text. C is
chosen inside the training folds in every row. Of as few features as the energies are, nothing is selected:
rows that would differ in that alone are one. Clips are described once a descriptor and pooled in every way;
that and the predictions are kept in OUT/ablation: run again, only what is new, or whose code or clips
changed, is computed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from comparators.classifiers import INSIDE, NUMBERS, chosen_inside, selected_svms
from compare import (
    HERE,
    Clips,
    Failure,
    clips_of,
    describe_all,
    digest_of,
    heading,
    name_of,
    parsed,
    parser_of,
    publish,
    stored,
    without,
)
from joblib import parallel_config
from numpy.typing import NDArray
from score_table import Row, score_table
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

import ltogp
import rankpool
from microexpr.pooling import derive

GRID = (8, 8)
BINS = 256


# ----------------------------------------------------------------------- descriptors: frames to (T, d)


def histogram(**options: Any) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return `ltogp.histogram` with these options."""
    return partial(ltogp.histogram, blocks=GRID, n_jobs=1, **options)


def three_planes(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """LTOGP of each frame, then the codes that its pixels have on the planes (x, t) and (y, t).

    Summed over the frames it is `ltogp.histogram_top`.
    """
    T, height, width = frames.shape
    row, column = np.arange(height) * GRID[0] // height, np.arange(width) * GRID[1] // width
    block = row[:, None] * GRID[1] + column
    cell = (np.arange(T)[:, None, None] * (GRID[0] * GRID[1]) + block) * BINS
    parts = [ltogp.histogram(frames, GRID, n_jobs=1)]
    # Images of each row, t downwards and x to the right; of each column, t downwards and y to the right.
    for images, back in (((1, 0, 2), (1, 0, 2)), ((2, 0, 1), (1, 2, 0))):
        codes = ltogp.encode(frames.transpose(images), n_jobs=1).transpose(back)
        counts = np.bincount((cell + codes).ravel(), minlength=T * GRID[0] * GRID[1] * BINS)
        parts.append(counts.reshape(T, -1).astype(np.float32))
    return np.concatenate(parts, axis=1)


def templates(weights: Mapping[int, int]) -> NDArray[np.int64]:
    """Return eight templates, of these weights at so many steps in each direction, east first."""
    made = np.zeros((8, 5, 5), np.int64)
    for k, (dy, dx) in enumerate(((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))):
        for step, weight in weights.items():
            made[k, 2 + step * dy, 2 + step * dx] = weight
    return made


DESCRIPTORS = {  # the paper's first
    "LTOGP": histogram(),
    "LBP": histogram(templates="lbp"),
    "central differences": histogram(templates="central"),
    "LTOGP, radii 1 and 2": histogram(radius=(1, 2)),
    "LTOGP, three planes": three_planes,
}
# Of Fig. 2: c is the pixel, a and b are one and two steps away in a template's direction, a', b' against it.
READINGS = {
    "-c + 2a - b": histogram(templates=templates({0: -1, 1: 2, 2: -1})),
    "c - 2a + b at twice the steps": histogram(radius=2),
    "-a + 2c - a', four, each twice": histogram(templates=templates({-1: -1, 0: 2, 1: -1})),
    "b - 2c + b', four, each twice": histogram(templates="central", radius=2),
    "b - c": histogram(templates="lbp", radius=2),
}
AS_READING = {
    "LTOGP": "c - 2a + b (ours)",
    "central differences": "a - 2c + a', four, each twice",
    "LBP": "a - c (LBP)",
    **{name: name for name in READINGS},
}

# ---------------------------------------------------------------------------- poolings: (T, d) to (d,)


def thirds(V: NDArray) -> NDArray:
    """Return the mean of the last third of the frames less that of the first."""
    n = max(1, len(V) // 3)
    return V[-n:].mean(axis=0, dtype=np.float64) - V[:n].mean(axis=0, dtype=np.float64)


POOLINGS: dict[str, Callable[[NDArray], NDArray]] = {
    "rank, exact": lambda V: rankpool.rank_svm(V).u,
    "rank, approximate": rankpool.approximate_rank_pool,
    "rank, SVR": lambda V: rankpool.rank_pool(V, method="svr"),
    "mean": lambda V: V.mean(axis=0, dtype=np.float64),
    "standard deviation": lambda V: V.std(axis=0, dtype=np.float64),
    "max": lambda V: V.max(axis=0),
    "last third less first": thirds,
}
BOTH = "mean and rank"
ENERGY = ", energy"


def pooled(describe: Callable[[NDArray], NDArray], frames: NDArray) -> NDArray[np.float32]:
    """Describe the frames once and pool them in every way: (poolings, d), in float32 to keep less."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LIBLINEAR's of convergence
        V = describe(frames)
        return np.array([pool(V) for pool in POOLINGS.values()], dtype=np.float32)


def features(pools: NDArray[np.float32], pooling: str) -> NDArray[np.float64]:
    """Return the clips pooled that way, from all poolings of them (n, poolings, d)."""
    whole, energy, _ = pooling.partition(ENERGY)
    names = ["mean", "rank, exact"] if whole == BOTH else [whole]
    parts = [np.array(pools[:, list(POOLINGS).index(name)], dtype=np.float64) for name in names]
    if energy:  # of each block of each radius or plane
        down = GRID[0] * (parts[0].shape[1] // (GRID[0] * GRID[1] * BINS))
        parts = [derive(part, "rank", "energy", (down, GRID[1])) for part in parts]
    return np.concatenate(parts, axis=1)


# --------------------------------------------------------------------------------------------- recipes


class Recipe(NamedTuple):
    """A descriptor, a pooling and a selection by their names."""

    descriptor: str = "LTOGP"
    pooling: str = "rank, exact"
    selection: str = "l2,1, N the paper's"


PAPER = Recipe()
PARTS: dict[str, list[str]] = {
    "pooling": [name + end for end in ("", ENERGY) for name in (*POOLINGS, BOTH)],
    "selection": [PAPER.selection, "none", "F-score, N the paper's", "l2,1, N chosen inside"],
    "descriptor": list(DESCRIPTORS),
}
TEMPLATES = "templates"


def recipes_of(only: Sequence[str], full: bool) -> dict[str, list[Recipe]]:
    """Return the recipes of each table."""
    tables = {name: [PAPER._replace(**{name: value}) for value in PARTS[name]] for name in PARTS}
    tables[TEMPLATES] = [PAPER._replace(descriptor=name) for name in AS_READING]
    if full:
        every = product(*(PARTS[name] for name in Recipe._fields))
        tables = {"every combination": [Recipe(*parts) for parts in every]}
    chosen = {name: recipes for name, recipes in tables.items() if full or name in only}
    return {name: list(dict.fromkeys(map(_distinct, recipes))) for name, recipes in chosen.items()}


def _distinct(recipe: Recipe) -> Recipe:
    """Of energies, which are fewer than N, nothing is selected."""
    return recipe._replace(selection="none") if ENERGY in recipe.pooling else recipe


def f_score(X: NDArray, y: NDArray) -> NDArray:
    """Return F of the analysis of variance; of what is constant in every class 0."""
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.nan_to_num(f_classif(X, y)[0])


def predictions(X: NDArray, table: pd.DataFrame, selections: Sequence[str]) -> dict[str, list[str]]:
    """Return what each of the selections predicts; the folds' l2,1 problems are solved once for all."""
    N = int(INSIDE.with_n_features(table["dataset"].unique().tolist()).n_features or 0)
    numbers = {"none": (), PAPER.selection: (N,), "l2,1, N chosen inside": NUMBERS}
    found = {}
    if chosen := [name for name in selections if name in numbers]:
        of_all = selected_svms(X, table, [numbers[name] for name in chosen])
        found = dict(zip(chosen, of_all, strict=True))
    for name in selections:
        if name not in numbers:
            steps = SelectKBest(f_score, k=min(N, X.shape[1])), StandardScaler(), SVC(kernel="linear")
            found[name] = chosen_inside(make_pipeline(*steps), {"svc__C": list(INSIDE.C_grid)})(X, table)
    return {name: list(map(str, predicted)) for name, predicted in found.items()}


# ------------------------------------------------------------------------------------------ what is kept


class Pools(NamedTuple):
    """What OUT notes of a descriptor's clips, which are beside it."""

    key: str
    failures: list[Failure]


class Predicted(NamedTuple):
    """What OUT keeps of a recipe."""

    key: str
    predicted: list[str]
    d: int  # numbers in a clip


def key_of(of_clips: bytes, left_out: Sequence[int] = ()) -> str:
    """Tell whether what is stored still holds: it depends on the code and the clips."""
    digest = hashlib.sha256(of_clips + json.dumps(list(left_out)).encode())
    for path in (Path(__file__), HERE / "comparators/classifiers.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def file_of(*names: str) -> str:
    """Return a file's name that says what is in it, and is no other's."""
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    plain = "".join(c if c.isalnum() else "-" for c in "_".join(names))
    return f"{plain[:80]}-{digest}"


def pools_of(descriptor: str, clips: Clips, folder: Path, key: str) -> Pools:
    """Describe and pool the clips, if that is not done."""
    path = folder / f"{file_of(descriptor)}.json"
    found = stored(path, Pools, key)
    if found is None:
        path.unlink(missing_ok=True)
        describe = {**DESCRIPTORS, **READINGS}[descriptor]
        X, failures, _ = describe_all(partial(pooled, describe), clips, f"{descriptor}: clips")
        np.save(path.with_suffix(".npy"), X)
        found = Pools(key, failures)
        path.write_text(json.dumps(found._asdict()))
    return found._replace(failures=[Failure(*failure) for failure in found.failures])


def main(arguments: list[str]) -> int:
    """Describe, predict what is missing, and print the tables."""
    parser = parser_of(__doc__)
    parts = [*PARTS, TEMPLATES]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="some of the parts")
    parser.add_argument("--full", action="store_true", help="every combination instead of one part at a time")
    options = parsed(parser, arguments)
    if options.list:
        for name, values in {**PARTS, TEMPLATES: list(AS_READING.values())}.items():
            print(f"{name}: {'; '.join(values)}")
        return 0
    clips, folder = clips_of(options), options.out / "ablation"
    folder.mkdir(exist_ok=True)
    of_clips, tables = digest_of(clips), recipes_of(options.only, options.full)
    wanted = list(dict.fromkeys(recipe for recipes in tables.values() for recipe in recipes))
    with parallel_config(n_jobs=options.jobs):
        left_out: dict[int, str] = {}
        for descriptor in dict.fromkeys(recipe.descriptor for recipe in wanted):
            for failure in pools_of(descriptor, clips, folder, key_of(of_clips)).failures:
                left_out.setdefault(failure.clip, failure.why)
        gone = sorted(left_out)
        table, key = without(clips, gone), key_of(of_clips, gone)
        done = predicted_of(wanted, table, gone, folder, key)
    above = heading(options, table, {name_of(clips, clip): left_out[clip] for clip in gone})
    lines = [*above, f"The paper's recipe here: {', '.join(PAPER)}."]
    for name, recipes in tables.items():
        rows = {recipe: row_of(recipe, name, done[recipe]) for recipe in recipes}
        lines += ["", *score_table(rows, table, PAPER, ("numbers a clip",), name)]
    publish(lines, options, "ablation-full.md" if options.full else "ablation.md")
    return 0


def predicted_of(
    wanted: Sequence[Recipe], table: pd.DataFrame, left_out: Sequence[int], folder: Path, key: str
) -> dict[Recipe, Predicted]:
    """Return every recipe's predictions, those of one descriptor and pooling from one pass over the folds."""
    done: dict[Recipe, Predicted] = {}
    groups: dict[tuple[str, str], list[Recipe]] = {}
    for recipe in wanted:
        found = stored(folder / f"{file_of(*recipe)}.json", Predicted, key)
        if found is None:
            groups.setdefault(recipe[:2], []).append(recipe)
        else:
            done[recipe] = found
    for (descriptor, pooling), recipes in tqdm(groups.items(), "recipes"):
        pools = np.load(folder / f"{file_of(descriptor)}.npy", mmap_mode="r")
        X = np.delete(features(pools, pooling), list(left_out), axis=0)
        of_all = predictions(X, table, [recipe.selection for recipe in recipes])
        for recipe in recipes:
            found = Predicted(key, of_all[recipe.selection], X.shape[1])
            path = folder / f"{file_of(*recipe)}.json"
            path.with_suffix(".part").write_text(json.dumps(found._asdict()))
            path.with_suffix(".part").replace(path)
            done[recipe] = found
    return done


def row_of(recipe: Recipe, part: str, found: Predicted) -> Row:
    """Return the line of a recipe, called by what is exchanged."""
    if part == TEMPLATES:
        label = AS_READING[recipe.descriptor]
    elif part in PARTS:
        label = getattr(recipe, part)
    else:
        label = "; ".join(recipe)
    return Row(label, found.predicted, (str(found.d),))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
