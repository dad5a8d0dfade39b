"""The commands ``microexpr train`` and ``microexpr classify``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._command_line import check_writable, matplotlib_is_there, print_json, reading_of, warned_once
from ._csv_file import write_csv
from ._dask import on_dask
from ._extras import require
from ._option_groups import DATASETS
from ._wording import option

if TYPE_CHECKING:
    from .recognition import Classification, Recogniser

_VIDEOS = (".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".webm", ".wmv")


def train(options: argparse.Namespace) -> None:
    """Train a recogniser and write it into a file."""
    check_writable(options.model, "model")
    require("this command", "datasets", "store")
    from .data import report
    from .experiment import read
    from .training import train

    started = time.perf_counter()
    sources = [(options.dataset, options.root, reading_of(options)), *(options.others or [])]
    given = {name: getattr(options, name) for name in ("size", "crop", "stabilise", "blur")}
    given["n_frames"] = options.frames
    parameters = {name: value for name, value in given.items() if value is not None}
    table = read(sources, options.classes)
    if not options.json:
        print(report(table) + "\n", flush=True)
    with on_dask(options.dask), warned_once():
        recogniser = train(
            table,
            options.store,
            recipe=options.recipe,
            pooling=options.pooling,
            n_features=options.n_features,
            gamma=options.gamma,
            C=options.C,
            classifier=options.classifier,
            class_weight=options.class_weight,
            blocks=options.blocks,
            parameters=parameters or None,
            n_splits=options.n_splits,
            inner_splits=options.inner_splits,
            n_jobs=options.jobs,
        )
    recogniser.save(options.model)
    if options.json:
        print_json({"file": options.model, "classes": recogniser.classes, **recogniser.about})
        return
    print(recogniser)
    print(f"\nwrote {options.model}, {time.perf_counter() - started:.0f} s")


def classify(options: argparse.Namespace) -> int:
    """Classify clips; of each that cannot be, say why."""
    if options.csv is not None:
        check_writable(options.csv, "csv")
    from .recognition import Recogniser

    recogniser = Recogniser.load(options.model)
    first, is_dataset = options.clips[0].lower(), len(options.clips) == 2
    coded: Sequence[str] = ()
    if is_dataset and first in DATASETS and not Path(options.clips[0]).exists():
        require("a data set", "datasets")
        from .experiment import read

        table = read([(first, options.clips[1], reading_of(options))], options.classes)
        clips: list[Any] = table["frames"].to_list()
        names = [f"{row.subject}/{row.clip}" for row in table.itertuples()]
        coded = table["emotion"].to_list()
    else:
        for name in ("classes", *reading_of(options)):
            if name != "classes" or options.classes:
                raise ValueError(f"{option(name)} is of a data set: give FILE DATASET ROOT")
        clips = [clip for path in options.clips for clip in _clips_in(Path(path))]
        names = [str(clip) for clip in clips]
    draws = options.pictures is not None and matplotlib_is_there()
    if draws:
        options.pictures.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with warned_once():
        answers = recogniser.classify_all(
            clips, face=options.face, damaged=options.damaged, n_jobs=options.jobs
        )
        for k, answer in enumerate(answers):
            row = {"clip": names[k], **({"coded": coded[k]} if coded else {})}
            if isinstance(answer, Exception):
                said = " ".join(str(answer).split()) or type(answer).__name__
                said = said.removeprefix(f"{names[k]}: ")
                rows.append(row | {"class": None, "problem": said})
                continue
            rows.append(row | answer.to_json() | {"problem": None})
            if draws:
                _draw(recogniser, answer, names[k], options.pictures, k)
    if options.csv is not None:
        _write_csv(options.csv, recogniser, rows)
    if options.json:
        about = {"classes": list(recogniser.classes), **recogniser.about}
        print_json({"model": about, "clips": rows})
    else:
        print("\n".join(_lines(recogniser, rows, bool(coded))))
    return 1 if any(row["problem"] for row in rows) else 0


def _clips_in(path: Path) -> list[Path]:
    """Return a video or a folder of frames, or those in a folder of such, in the order of their names."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    found = list(_inside(path, set()))
    if not found:
        raise ValueError(f"{path} holds no images and no videos ({', '.join(_VIDEOS)})")
    return found


def _inside(path: Path, seen: set[Path]) -> Iterator[Path]:
    from .data import image_paths

    try:
        if not path.is_dir() or image_paths(path):
            yield path
            return
        children = sorted(path.iterdir())
    except OSError:  # it is told as the reason why this one cannot be classified
        yield path
        return
    real = path.resolve()
    if real in seen:  # links that lead back
        return
    seen.add(real)
    for child in children:
        if not child.name.startswith(".") and (child.is_dir() or child.suffix.lower() in _VIDEOS):
            yield from _inside(child, seen)


def _lines(recogniser: Recogniser, rows: list[dict[str, Any]], coded: bool) -> Iterator[str]:
    yield str(recogniser)
    yield ""
    width = max([len("clip"), *(len(row["clip"]) for row in rows)])
    named = max(map(len, ("class", *recogniser.classes)))
    yield f"{'clip':<{width}}  {'class':<{named}}  probability" + ("  coded" if coded else "")
    for row in rows:
        if not row["problem"]:
            likely = max(row["probabilities"], key=row["probabilities"].get)
            yield (
                f"{row['clip']:<{width}}  {row['class']:<{named}}  "
                f"{row['probabilities'][row['class']]:>11.2f}"
                + (f"  {row['coded']}" if coded else "")
                + (f"  ({likely} {row['probabilities'][likely]:.2f})" if likely != row["class"] else "")
            )
    yield ""
    done = [row for row in rows if not row["problem"]]
    for row in done:
        if row["unlike"]:
            yield f"{row['clip']} is unlike anything trained on: {row['unlike']}"
    for row in rows:
        if row["problem"]:
            yield f"{row['clip']} could not be classified: {row['problem']}"
    known = [row for row in done if row.get("coded") in recogniser.classes]
    if known:
        right = sum(row["class"] == row["coded"] for row in known)
        yield f"as coded: {right} of {len(known)} clips, {100 * right / len(known):.1f} %"
    yield f"{len(done)} of {len(rows)} clips classified, {sum(bool(row['unlike']) for row in done)} unlike"


def _write_csv(path: Path, recogniser: Recogniser, rows: list[dict[str, Any]]) -> None:
    flat = [
        {
            **{name: row.get(name) for name in ("clip", "coded", "class") if name != "coded" or name in row},
            **{f"p {name}": row.get("probabilities", {}).get(name) for name in recogniser.classes},
            **{f"decision {name}": row.get("decision", {}).get(name) for name in recogniser.classes},
            **{f"{name} distance": row.get("distance", {}).get(name) for name in ("face", "motion")},
            **{name: row.get(name) for name in ("frames", "unlike", "problem")},
        }
        for row in rows
    ]
    write_csv(path, flat)


def _draw(recogniser: Recogniser, answer: Classification, name: str, folder: Path, k: int) -> None:
    from .plots import plot_classification

    figure = plot_classification(recogniser, answer, title=name)
    figure.savefig(folder / f"{k + 1:04d}_{Path(name).stem}.png", dpi=150)
