"""The whole chain on real clips whose order matters, which are no faces: people seen from the ceiling.

    python docs/actions.py FOLDER [--out microexpr-actions]

FOLDER is a clone of https://github.com/muralab/Low-Resolution-FIR-Action-Dataset: 2520 actions of nine people
on 16 x 16 pixels of a far-infrared sensor, 10 frames a second, licensed CC BY-NC-SA 4.0. Who uses it cites

    Kawashima, Kawanishi, Ide, Murase, Deguchi, Aizawa, Kawade: Action recognition from extremely
    low-resolution thermal image sequence. AVSS 2017.

It holds annotation/annotation_DATE_human.csv (file, first and last frame, counted from 1, label, person; no
header) and DATE/raw/FILE.csv (two lines of header; then time, the sensor's own temperature and 256 pixels in
degrees Celsius, a line a frame). Or FOLDER holds fir_actions.npz, an extract of the same: `frames`
(n, 16, 16) in 1/320 degree, clip i from first[i] to first[i + 1], its `label`, `subject` and `source`.

Two questions, each leaving one person out, with 95 % intervals over people:

1. Sitting down or standing up? Each is the other backwards, so a pooling without order can hardly tell.
2. Walking, sitting down, standing up or falling, of the recordings by daylight: with and without selection by
   l2,1, C and N as given and chosen inside the training folds.

Frames are enlarged to 64 x 64 and described by LTOGP in 4 x 4 blocks.
"""

import argparse
import csv
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import microexpr
import rankpool
from microexpr.experiment import (
    Evaluation,
    Scores,
    Settings,
    bootstrap,
    evaluate,
    interval,
    save_evaluation,
)
from microexpr.plots import save_evaluation as save_pictures
from microexpr.pooling import derive

ADDRESS = "https://github.com/muralab/Low-Resolution-FIR-Action-Dataset"
PAIR, FOUR = ["sitdown", "standup"], ["falling", "sitdown", "standup", "walk"]
COUNTS = 320  # in a degree: the step of most pixels of the files
SIZE, BLOCKS = 64, (4, 4)

# Few N and C, and 3 folds inside: each l2,1 problem has 480 or 320 clips.
SETTINGS = Settings(
    blocks=BLOCKS,
    n_features=450,
    sweep=False,
    sweep_n_features=(75, 200, 450, 950),
    C_grid=(1e-5, 1e-4, 1e-3, 1e-2, 1.0),
    inner_splits=3,
    poolings=("rank", "mean", "mean+rank"),
)


class Actions(NamedTuple):
    """Clips: frames (T, 16, 16) in degrees Celsius, what is done, by whom, and which part of which file."""

    frames: list[NDArray[np.float64]]
    label: NDArray[np.str_]
    subject: NDArray[np.str_]
    source: NDArray[np.str_]

    def where(self, kept: NDArray[np.bool_]) -> "Actions":
        """Return some of the clips."""
        return Actions([self.frames[i] for i in np.flatnonzero(kept)], *(part[kept] for part in self[1:]))


class Line(NamedTuple):
    """A line of the first table, and of actions.csv."""

    method: str
    scores: Scores

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, over people."""
        return interval(bootstrap(self.scores)["accuracy"])


class Cost(NamedTuple):
    """A line of the second table: accuracies and their difference, each with its interval."""

    pooling: str
    basis: str  # C and N as given, or chosen inside the training folds
    without: tuple[float, float, float]
    chosen: tuple[float, float, float]
    difference: tuple[float, float, float]


def main(arguments: list[str]) -> int:
    """Print both tables and write them; return the exit status: 1 if clips had to be left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a clone of that repository, or with fir_actions.npz"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("microexpr-actions"),
        metavar="FOLDER",
        help="tables and pictures (%(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        actions, problems = read_actions(options.folder)
        options.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)

    pair = actions.where(np.isin(actions.label, PAIR))
    print(f"{' or '.join(PAIR)}, each the other backwards: {counted(pair)}, leave one person out")
    lines = tell_order(pair)
    for line in lines:
        low, high = line.interval
        print(f"{line.method:<44}{100 * line.scores.accuracy:6.1f} % [{100 * low:.1f}, {100 * high:.1f}]")

    daylight = np.char.find(actions.source, "_light") >= 0
    four = actions.where(np.isin(actions.label, FOUR) & daylight)
    print(f"\n{', '.join(FOUR)}: {counted(four)}, leave one person out", flush=True)
    done = tell_four(four)
    costs = selection_costs(done)
    print(f"{'pooling':<11}{'C and N':<9}{'without selection':>24}{'with selection':>24}{'difference':>25}")
    for cost in costs:
        cells = [f"{100 * a:.1f} % [{100 * b:.1f}, {100 * c:.1f}]" for a, b, c in (cost.without, cost.chosen)]
        words = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * x for x in cost.difference))
        print(f"{cost.pooling:<11}{cost.basis:<9}{cells[0]:>24}{cells[1]:>24}{words:>25}")
    print(f"largest relative duality gap of an l2,1 problem: {done.gap:.1e}")
    write_order(lines, options.out / "order.csv")
    save_evaluation(done, options.out / "four")
    save_pictures(done, options.out / "four")
    draw(lines, costs, options.out / "actions.svg")
    return 1 if problems else 0


def counted(actions: Actions) -> str:
    """Say how many clips there are, and of how many people."""
    return f"{len(actions.frames)} clips of {len(set(actions.subject))} people, no faces"


# -------------------------------------------------------------------------------------------- the questions


def tell_order(actions: Actions) -> list[Line]:
    """Score each pooling at two actions that are each other backwards.

    Backwards, u is -u. So features are scaled and not centred, and the SVM has no intercept: a classifier
    that is right about u is right about -u.
    """
    X = describe(actions)
    pictures = {
        method: np.array(
            [rankpool.dynamic_image(enlarged(clip), method=method).ravel() for clip in actions.frames]
        )
        for method in ("ranksvm", "approximate")
    }
    classifier = make_pipeline(
        StandardScaler(with_mean=False), LinearSVC(fit_intercept=False, max_iter=5000, random_state=0)
    )
    features = {
        "mean of LTOGP": derive(X, "mean+rank", "mean"),
        "rank pooling of LTOGP": derive(X, "mean+rank", "rank"),
        "mean+rank of LTOGP": X,
        "rank pooling of the pixels": pictures["ranksvm"],
        "rank pooling of the pixels, approximate": pictures["approximate"],
    }
    with warnings.catch_warnings():
        # Means that are not centred are all but alike, and LIBLINEAR stops at 5000 passes. The SVM of
        # `make_classifier("all")`, which is solved, has the same 49.6 % on them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            Line(method, microexpr.loso(x, actions.label, actions.subject, classifier))
            for method, x in features.items()
        ]


def tell_four(actions: Actions, settings: Settings = SETTINGS) -> Evaluation:
    """Evaluate the paper's recipe, and mean and mean+rank beside it."""
    table = pd.DataFrame(
        {
            "dataset": "FIR actions",
            "subject": actions.subject,
            "clip": actions.source,
            "emotion": actions.label,  # what is done
        }
    )
    return evaluate({settings.blocks: describe(actions)}, table, settings, pooling="mean+rank")


def selection_costs(done: Evaluation) -> list[Cost]:
    """Return for each pooling the accuracy without and with selection, and their paired difference."""
    rows = {
        (row.pooling, row.name, row.basis.removesuffix("not the paper's").removesuffix(", ")): row.scores
        for row in done.rows
    }
    costs = []
    for pooling in done.settings.poolings:
        given = done.rows[0].basis if pooling == "rank" else ""
        for basis, without, chosen in (
            ("given", given, given),
            ("inside", "C chosen inside", "N and C chosen inside"),
        ):
            two = [rows[pooling, "without selection", without], rows[pooling, "with selection", chosen]]
            first, second = (bootstrap(scores)["accuracy"] for scores in two)
            difference = two[1].accuracy - two[0].accuracy
            costs.append(
                Cost(
                    pooling,
                    basis,
                    (two[0].accuracy, *interval(first)),
                    (two[1].accuracy, *interval(second)),
                    (difference, *interval(second - first)),
                )
            )
    return costs


def describe(actions: Actions) -> NDArray[np.float64]:
    """Return mean and u of LTOGP's histograms side by side, a row a clip."""
    return np.array(
        [microexpr.describe(enlarged(clip), blocks=BLOCKS, pooling="mean+rank") for clip in actions.frames]
    )


def enlarged(frames: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Resize degrees (T, 16, 16) to counts of 1/320 degree (T, 64, 64), bilinear."""
    counts = np.round(frames * COUNTS).astype(np.float32)
    resized = [Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for frame in counts]
    return np.round(np.array(resized)).astype(np.uint16)


def write_order(lines: list[Line], path: Path) -> None:
    """Write the first table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "clips", "people", "accuracy", "low", "high"])
        for line in lines:
            people = len(set(line.scores.groups))
            writer.writerow([line.method, len(line.scores.y), people, line.scores.accuracy, *line.interval])


def draw(lines: list[Line], costs: list[Cost], path: Path) -> None:
    """Draw both tables."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    order = [(line.method, (line.scores.accuracy, *line.interval), "#0072b2") for line in lines]
    four = [
        (f"{cost.pooling}, {words}", bar, colour)
        for cost in costs
        if cost.basis == "inside"
        for words, bar, colour in (
            ("all features", cost.without, "#e69f00"),
            ("N and C chosen inside", cost.chosen, "#0072b2"),
        )
    ]
    with rc_context({"font.size": 8, "axes.linewidth": 0.6, "svg.hashsalt": "actions"}):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        for ax, bars, guess, title in zip(
            figure.subplots(2, 1),
            (order, four),
            (50, 25),
            (f"{' or '.join(PAIR)}, each the other backwards", ", ".join(FOUR)),
            strict=True,
        ):
            for at, (_, (accuracy, low, high), colour) in enumerate(bars):
                ax.barh(at, 100 * accuracy, color=colour)
                ax.plot([100 * low, 100 * high], [at, at], color="black", linewidth=1)
                ax.text(100 * high + 1.5, at, f"{100 * accuracy:.1f}", va="center")
            ax.axvline(guess, color="black", linestyle=":", linewidth=1)
            ax.set_yticks(range(len(bars)), [name for name, *_ in bars])
            ax.invert_yaxis()
            ax.set_xlim(0, 105)
            ax.set_title(f"{title}; dotted: a guess", loc="left", fontsize="medium")
            ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("accuracy (%), leave one person out, 95 % intervals over people; no faces", loc="right")
        figure.savefig(path, metadata={"Date": None})


# ------------------------------------------------------------------------------------------------- the data


def read_actions(folder: Path) -> tuple[Actions, list[str]]:
    """Return the clips of a clone or an extract, walk1 and walk2 called walk, and why others are left out.

    Labels with a number are the same action (the data set's own notes).

    Raises
    ------
    FileNotFoundError
        If the folder holds neither.
    ValueError
        If no clip could be read, or the extract is not as it should be.
    """
    extract = folder / "fir_actions.npz"
    sheets = sorted(folder.glob("annotation/annotation_*_human.csv"))
    problems: list[str] = []
    if extract.is_file():
        actions = read_extract(extract)
    elif sheets:
        clips = list(read_clips(folder, sheets, problems))
        if not clips:
            raise ValueError(f"{folder}: no clip could be read; the first: {(problems or ['no row'])[0]}")
        frames, *columns = zip(*clips, strict=True)
        actions = Actions(list(frames), *map(np.array, columns))
    else:
        raise FileNotFoundError(
            f"{folder} holds neither annotation/annotation_*_human.csv nor fir_actions.npz; clone {ADDRESS}"
        )
    return actions._replace(label=np.char.rstrip(actions.label, "12")), problems


def read_extract(path: Path) -> Actions:
    """Read fir_actions.npz."""
    with np.load(path) as arrays:
        absent = {"frames", "first", "label", "subject", "source"} - set(arrays.files)
        if absent:
            raise ValueError(f"{path} has no {', '.join(sorted(absent))}")
        frames, first = arrays["frames"] / COUNTS, arrays["first"]
        columns = [arrays[name] for name in ("label", "subject", "source")]
    if frames.ndim != 3 or frames.shape[1:] != (16, 16) or not np.isfinite(frames).all():
        raise ValueError(f"{path}: frames have shape {frames.shape}; they must be finite, (n, 16, 16)")
    lengths = {len(column) for column in columns}
    if lengths != {len(first) - 1} or (np.diff(first) < 2).any() or first[0] != 0 or first[-1] != len(frames):
        raise ValueError(f"{path}: first does not cut the frames into as many clips as there are labels")
    return Actions([frames[a:b] for a, b in pairwise(first)], *columns)


def read_clips(
    folder: Path, sheets: list[Path], problems: list[str]
) -> Iterator[tuple[NDArray[np.float64], str, str, str]]:
    """Yield frames, label, subject and source of each row; add to `problems` why there is none."""
    lines: dict[str, list[str]] = {}  # of the last file: a recording's rows follow one another
    for sheet in sheets:
        with sheet.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
        for number, row in enumerate(rows, start=1):
            if not any(row):
                continue
            where = f"{sheet.relative_to(folder).as_posix()}, row {number}"
            try:
                name, first, last, label, subject = read_row(row)
                raw = f"{name.split('_')[0]}/raw/{name}"
                if raw not in lines:
                    lines = {raw: (folder / raw).read_text(encoding="utf-8").splitlines()}
                frames = read_frames(lines[raw], raw, first, last)
            except OSError as error:
                problems.append(f"{where}: {raw}: {error.strerror}")
            except ValueError as error:
                problems.append(f"{where}: {error}")
            else:
                yield frames, label, subject, f"{name}:{first}-{last}"


def read_row(row: list[str]) -> tuple[str, int, int, str, str]:
    """Return file, first and last frame, label and person of a row of an annotation."""
    cells = [cell.strip() for cell in row]
    if len(cells) != 5 or not all(cells):
        raise ValueError(f"it has {sum(map(bool, cells))} cells; it must be file, first, last, label, person")
    name, first, last, label, subject = cells
    if Path(name).name != name or "\\" in name:
        raise ValueError(f"{name!r} is not the name of a file")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) < int(last)):
        raise ValueError(f"frames {first} to {last}: they must be numbers from 1, rising")
    return name, int(first), int(last), label, subject


def read_frames(lines: list[str], raw: str, first: int, last: int) -> NDArray[np.float64]:
    """Return frames first to last, counted from 1, of a recording's lines; two are header."""
    if last > len(lines) - 2:
        raise ValueError(f"{raw} has {max(0, len(lines) - 2)} frames, not {last}")
    frames = []
    for number in range(first + 2, last + 3):
        cells = lines[number - 1].split(",")
        if len(cells) != 258:
            raise ValueError(f"{raw}, row {number}: {len(cells)} cells; there must be 258")
        try:
            frame = np.array(cells[2:], dtype=np.float64)
        except ValueError:
            raise ValueError(f"{raw}, row {number}: a pixel is not a number") from None
        if not (np.isfinite(frame) & (frame >= 0) & (frame < 200)).all():
            raise ValueError(f"{raw}, row {number}: a pixel is not a temperature from 0 to 200 °C")
        frames.append(frame.reshape(16, 16))
    return np.array(frames)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
