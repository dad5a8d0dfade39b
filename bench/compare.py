"""Other people's methods and this project's on the same clips, folds and scores: one table.

    python bench/compare.py simulated                     # 246 simulated clips of 26 drawn faces
    python bench/compare.py simulated --faces FACES       # of portraits
    python bench/compare.py simulated --difficulty real   # such as docs/simulation.md describes
    python bench/compare.py casme2 CASME2                 # any data set that microexpr reads
    python bench/compare.py actions CLONE                 # thermal clips, see docs/actions.py
    python bench/compare.py simulated --only paper lbp_top
    python bench/compare.py --list                        # the methods, their sources, what they need

Each method is a file in comparators/, and runs in processes of its own, whose time and memory are measured:
one describes the clips, one classifies. One subject is left out; C and N are chosen inside the training folds
for every method alike. A clip that cannot be read, or that one of the methods cannot describe, is left out of
every row. What is done is kept in OUT: run again, only what is new, or whose file or clips changed, is
computed. OUT/table.md has the table: intervals over subjects, and differences to the paper's recipe on the
same clips, paired; --doc writes it into a page of the docs too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from comparators import NAMES, about, load, missing
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray
from score_table import Row, score_table
from tables import put
from tqdm import tqdm

import microexpr
from microexpr.data import ClipError, read_frames
from microexpr.data.clips import content_digest

HERE = Path(__file__).parent
MOST_FAILURES = 0.1  # a method that cannot describe a larger share of the clips is left out, not the clips


class Clips(NamedTuple):
    """A table with the columns dataset, subject, clip, emotion, and the frames of each of its rows."""

    table: pd.DataFrame
    frames: list[Any]  # what `read_frames` takes, or an array (T, height, width)


class Failure(NamedTuple):
    """Which clip could not be described, why, and whether at least its frames could be read."""

    clip: int
    why: str
    readable: bool


class Described(NamedTuple):
    """What OUT notes of a method's description of all clips, which is beside it, a row each."""

    key: str  # of the method's code and the clips
    failures: list[Failure]
    seconds_a_clip: float
    megabytes: float


class Result(NamedTuple):
    """What a method's file in OUT holds."""

    key: str  # as above, and of the clips left out
    predicted: list[str]
    seconds_to_train: float
    megabytes: float


# ------------------------------------------------------------------------------------------------ the clips


def clips_of(options: argparse.Namespace) -> Clips:
    """Read or make the clips."""
    if options.dataset == "simulated":
        table = microexpr.read_casme2(simulated(options))
    elif options.dataset == "actions":
        sys.path.insert(0, str(HERE.parent / "docs"))
        from actions import FOUR, enlarged, read_actions

        actions, _ = read_actions(options.root)
        actions = actions.where(np.isin(actions.label, FOUR) & (np.char.find(actions.source, "_light") >= 0))
        columns = {"subject": actions.subject, "clip": actions.source, "emotion": actions.label}
        table = pd.DataFrame({"dataset": "FIR actions", **columns})
        return Clips(table, [as_grey(enlarged(clip)) for clip in actions.frames])
    else:
        table = microexpr.read_dataset(options.dataset, options.root)
    return Clips(table, list(table["frames"]))


def simulated(options: argparse.Namespace) -> Path:
    """Return the folder of the simulated clips of this seed and these faces, made if it is not there."""
    root = options.out / f"clips-{options.difficulty}-{options.seed}-{name_of_faces(options.faces)}"
    if not root.exists():
        unfinished = root.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was stopped
        microexpr.simulate(unfinished, difficulty=options.difficulty, faces=options.faces, seed=options.seed)
        unfinished.replace(root)
    return root


def name_of_faces(faces: Path | None) -> str:
    """Return what tells clips of one folder of portraits from those of another, and from drawn ones."""
    return "drawn" if faces is None else hashlib.sha256(bytes(faces.resolve())).hexdigest()[:8]


def as_grey(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a clip as uint8, its lowest value 0 and its highest 255."""
    values = frames.astype(np.float64)
    span = max(float(np.ptp(values)), 1e-12)
    return np.round(255 * (values - values.min()) / span).astype(np.uint8)


def digest_of(clips: Clips) -> bytes:
    """SHA-256 of what the clips are and of what is in their files."""
    digest = hashlib.sha256(clips.table[["dataset", "subject", "clip", "emotion"]].to_csv().encode())
    for frames in tqdm(clips.frames, "clips: have any changed", unit="clip", delay=2):
        try:
            digest.update(frames.tobytes() if isinstance(frames, np.ndarray) else content_digest(frames))
        except OSError:  # it is left out when it is to be described
            digest.update(b"not there")
    return digest.digest()


def without(clips: Clips, left_out: Sequence[int]) -> pd.DataFrame:
    """Return the table of the clips that are not left out, in their order."""
    return clips.table.drop(index=clips.table.index[list(left_out)]).reset_index(drop=True)


def name_of(clips: Clips, clip: int) -> str:
    """Return subject and name of a clip, for messages."""
    return "/".join(map(str, clips.table.iloc[clip][["subject", "clip"]]))


# ----------------------------------------------------------------------------------------------- describing


def describe_all(
    describe: Callable[[NDArray], NDArray], clips: Clips, label: str
) -> tuple[NDArray, list[Failure], float]:
    """Describe the clips in joblib's workers: a row each, 0 where it failed, the failures, seconds a clip."""
    work = Parallel(return_as="generator")(delayed(_describe)(describe, frames) for frames in clips.frames)
    rows, failures, seconds = [], [], []
    for i, (row, why, readable, spent) in enumerate(tqdm(work, label, len(clips.frames), unit="clip")):
        rows.append(row)
        if row is None:
            failures.append(Failure(i, why, readable))
        else:
            seconds.append(spent)
    there = [row for row in rows if row is not None]
    if not there:
        raise SystemExit(f"{label}: not one could be described, the first because {failures[0].why}")
    X = np.stack([np.zeros_like(there[0]) if row is None else row for row in rows])
    return X, failures, float(np.median(seconds))  # not the mean: the first one may compile


def _describe(describe: Callable[[NDArray], NDArray], frames: Any) -> tuple[NDArray | None, str, bool, float]:
    """Return the description of one clip or why there is none, and how long it took without decoding."""
    if not isinstance(frames, np.ndarray):
        try:
            frames = read_frames(frames, progress=False)
        except (ClipError, OSError) as error:
            return None, str(error), False, 0.0
    start = perf_counter()
    try:
        row = np.asarray(describe(frames))
    except ValueError as error:  # too few frames, say; LinAlgError is one too
        return None, f"{len(frames)} frames: {error}", True, 0.0
    if not np.isfinite(row).all():
        return None, f"{len(frames)} frames: NaN or infinity", True, 0.0
    return row, "", True, perf_counter() - start


def by_name(name: str, frames: NDArray) -> NDArray:
    """Describe a clip by the method of that name: it is the name that workers are sent."""
    return load(name).describe(frames)


def too_many(failures: Sequence[Failure], clips: Clips) -> bool:
    """Whether a method fails so often that it is left out itself."""
    return sum(failure.readable for failure in failures) > MOST_FAILURES * len(clips.frames)


# ------------------------------------------------------------------------------------------------ one method


def run_step(step: str, name: str, clips: Clips, out: Path, left_out: Sequence[int]) -> None:
    """Do a step of a method in this process and its workers, and put what comes of it beside its place."""
    method = load(name)
    if step == "described":
        X, failures, seconds = describe_all(partial(by_name, name), clips, f"{method.name}: clips")
        np.save(out / f"{name}.npy", X)
        found: dict[str, Any] = {"failures": failures, "seconds_a_clip": seconds}
    else:
        X = np.delete(np.load(out / f"{name}.npy"), list(left_out), axis=0)
        start = perf_counter()
        predicted = method.classify(X, without(clips, left_out))
        found = {"predicted": list(map(str, predicted)), "seconds_to_train": perf_counter() - start}
    (out / f"{name}.part").write_text(json.dumps(found))


def watched(command: Sequence[str]) -> tuple[int, float]:
    """Run a command: what it returns, and the most memory that it and its workers had at once, MB."""
    import psutil

    most, process = 0.0, subprocess.Popen(command)
    try:
        while process.poll() is None:
            try:
                one = psutil.Process(process.pid)
                most = max(most, sum(_memory(p) for p in (one, *one.children(recursive=True))))
            except psutil.Error:  # ended meanwhile
                pass
            sleep(0.5)  # to look takes a hundredth of a second
    except BaseException:  # stopped: what runs is asked to stop as well
        process.terminate()
        process.wait()
        raise
    return process.returncode, most / 2**20


def _memory(process: Any) -> int:
    """Memory of a process; what it shares counts in parts where the system says so."""
    info = process.memory_full_info()
    return getattr(info, "pss", info.uss)


def key_of(name: str, of_clips: bytes, left_out: Sequence[int] = ()) -> str:
    """Tell whether what is stored still holds: it depends on the method's code, the clips, those left out."""
    digest = hashlib.sha256(of_clips)
    for path in sorted((HERE / "comparators").glob("*.py")):
        if path.stem == name or path.stem not in NAMES:  # its own, and what they share
            digest.update(path.read_bytes())
    digest.update(json.dumps(sorted(left_out)).encode() if left_out else b"")
    return digest.hexdigest()


def stored(path: Path, kind: type[Any], key: str) -> Any:
    """Return what a file of OUT holds, None if it does not hold for these clips and this code."""
    try:
        found = kind(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # not there, cut, or of another version
        return None
    return found if found.key == key else None


# ------------------------------------------------------------------------------------------------- the table


def table_of(results: dict[str, Result], described: dict[str, Described], table: pd.DataFrame) -> list[str]:
    """Write the table: a row a method, differences to the paper's recipe where that was run."""
    rows = {}
    for name, result in results.items():
        method = load(name)
        cells = (
            f"{1e3 * described[name].seconds_a_clip:.3g}",
            f"{result.seconds_to_train:.3g}",
            f"{max(described[name].megabytes, result.megabytes):.0f}",
            ", ".join(method.quoted),
            method.source,
        )
        rows[name] = Row(method.name, result.predicted, cells)
    columns = ("ms a clip", "s to train", "MB", "quoted by the paper, %", "source")
    return score_table(rows, table, "paper", columns)


def heading(options: argparse.Namespace, table: pd.DataFrame, left_out: dict[str, str]) -> list[str]:
    """Say by which command, on what, and without what the table below is."""
    kind = "**simulated** clips" if table.attrs.get("simulated") else "clips"
    most = table["emotion"].value_counts(normalize=True).max()
    lines = [
        f"`{command_of(options)}`: {len(table)} {kind} of {table['subject'].nunique()} subjects, one left "
        "out at a time; accuracy, UF1 and UAR in %, with 95 % intervals over subjects. "
        f"Always the largest class: {100 * most:.1f} %.",
        "",
    ]
    if left_out:
        why = "; ".join(f"{clip} ({reason})" for clip, reason in left_out.items())
        lines += [f"Left out of every row: {why}.", ""]
    return lines


def command_of(options: argparse.Namespace) -> str:
    """Return the command line without what says where things lie on this machine."""
    words = [f"python bench/{Path(sys.argv[0]).name}"]
    words += [options.dataset] if "dataset" in options else []
    words += [] if getattr(options, "root", None) is None else ["FOLDER"]
    words += [] if options.faces is None else ["--faces", "FACES"]
    for name in ("seed", "choose_seed", "difficulty", "clips", "subjects", "full", "only"):
        value, default = getattr(options, name, None), options.defaults.get(name)
        if value != default:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else map(str, value if isinstance(value, list) else [value])
    return " ".join(words)


def publish(lines: Sequence[str], options: argparse.Namespace, file: str) -> None:
    """Write the table to OUT, print it, and put it in its place in the page that --doc names."""
    text = "\n".join(lines)
    (options.out / file).write_text(text + "\n", encoding="utf-8")
    print(text)
    if options.doc:
        page = options.doc.read_text(encoding="utf-8")
        options.doc.write_text(
            put(page, options.doc.name, "comparison", options.place, lines), encoding="utf-8"
        )


# ---------------------------------------------------------------------------------------------- command line


def parser_of(documentation: str | None) -> argparse.ArgumentParser:
    """Return the options that comparisons and ablations have in common."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", help="simulated, actions, or a data set that microexpr reads")
    parser.add_argument("root", type=Path, nargs="?", metavar="FOLDER", help="where it lies")
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="portraits for the simulation")
    parser.add_argument("--difficulty", choices=("easy", "real"), default="easy", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("microexpr-comparison"), metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=-1, help="processes at a time (%(default)s: all cores)")
    parser.add_argument("--doc", type=Path, metavar="PAGE", help="write the table into this page as well")
    parser.add_argument("--place", metavar="NAME", help="where there: <!-- comparison NAME -->; the data set")
    parser.add_argument("--list", action="store_true", help="say what there is to choose from, and end")
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options, checked."""
    options = parser.parse_args(arguments)
    if not options.list:
        if options.dataset is None:
            parser.error("which clips? simulated, actions, or a data set that microexpr reads")
        if options.dataset != "simulated" and options.root is None:
            parser.error(f"{options.dataset} needs the folder where it lies")
        if options.jobs == 0:
            parser.error("--jobs is 0; it must be a number of processes, or -1 for all cores")
        options.place = options.place or options.dataset
        prepare(options, parser)
    return options


def prepare(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Make OUT, look whether the page has the place, rather now than after an hour, and note the defaults."""
    if options.doc:
        put(options.doc.read_text(encoding="utf-8"), options.doc.name, "comparison", options.place, [])
    options.out.mkdir(parents=True, exist_ok=True)
    options.defaults = {action.dest: action.default for action in parser._actions}


def main(arguments: list[str]) -> int:
    """Run what is missing, each method in processes of its own, and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="some of the methods")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # what a process of its own does
    parser.add_argument("--left-out", nargs="*", type=int, default=[], help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.list:
        print("\n".join(map(about, NAMES)))
        return 0
    clips = clips_of(options)
    if options.step:
        with parallel_config(n_jobs=options.jobs):
            run_step(*options.step, clips, options.out, options.left_out)
        return 0

    of_clips, status, described, results = digest_of(clips), 0, {}, {}

    def done(step: str, kind: type[Any], name: str, left_out: Sequence[int]) -> Any:
        """Return what is stored of a step, done now if need be; None if it cannot be done."""
        path, part = options.out / f"{name}.{step}.json", options.out / f"{name}.part"
        key = key_of(name, of_clips, left_out)
        if (found := stored(path, kind, key)) is None:
            part.unlink(missing_ok=True)
            more = ["--step", step, name, "--left-out", *map(str, left_out)]
            code, megabytes = watched([sys.executable, __file__, *arguments, *more])
            if code or not part.exists():
                return None
            found = kind(key=key, megabytes=megabytes, **json.loads(part.read_text()))
            part.write_text(json.dumps(found._asdict()))
            part.replace(path)
        return found

    for name in options.only:
        if absent := missing(name):
            print(f"{name} is left out: {absent}", file=sys.stderr)
            continue
        found = done("described", Described, name, ())
        if found is None:
            print(f"{name} could not be run, see above", file=sys.stderr)
        elif too_many(failures := [Failure(*failure) for failure in found.failures], clips):
            worst = next(failure for failure in failures if failure.readable)
            print(
                f"{name} is left out: it fails on more than {100 * MOST_FAILURES:.0f} % of the clips, first "
                f"on {name_of(clips, worst.clip)} ({worst.why})",
                file=sys.stderr,
            )
        else:
            described[name] = found._replace(failures=failures)
    left_out: dict[int, str] = {}
    for name, found in described.items():
        for failure in found.failures:
            left_out.setdefault(failure.clip, f"{name}: {failure.why}" if failure.readable else failure.why)
    for name in described:
        if (found := done("classified", Result, name, sorted(left_out))) is None:
            print(f"{name} could not be run, see above", file=sys.stderr)
        else:
            results[name] = found
    status = int(len(results) < len(options.only))
    if results:
        table, names = without(clips, sorted(left_out)), sorted(left_out)
        above = heading(options, table, {name_of(clips, clip): left_out[clip] for clip in names})
        publish([*above, *table_of(results, described, table)], options, "table.md")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
