"""Other people's methods and this project's on the same clips, folds and scores: one table.

    python bench/compare.py simulated                     # 246 simulated clips of 26 drawn faces
    python bench/compare.py simulated --faces FACES       # of portraits
    python bench/compare.py simulated --difficulty real   # such as docs/simulation.md describes
    python bench/compare.py casme2 CASME2                 # any data set that microexpr reads
    python bench/compare.py actions CLONE                 # thermal clips, see docs/actions.py
    python bench/compare.py simulated --only paper lbp_top

Each method is a file in comparators/, and runs in a process of its own, whose time and memory are measured.
One subject is left out; C and N are chosen inside the training folds for every method alike. What is done
is kept in OUT, a file a method: run again, only what is new, or whose file or clips changed, is computed.
OUT/table.md has the table: intervals over subjects, and differences to the paper's recipe on the same
clips, paired.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from comparators import NAMES, load
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from tqdm import tqdm

import microexpr
from microexpr.data import read_frames
from microexpr.data.clips import content_digest
from microexpr.experiment import Scores, bootstrap, interval, mcnemar

HERE = Path(__file__).parent


class Clips(NamedTuple):
    """A table with the columns dataset, subject, clip, emotion, and the frames of each of its rows."""

    table: pd.DataFrame
    frames: list[Any]  # what `read_frames` takes, or an array (T, height, width)


class Result(NamedTuple):
    """What a method's file in OUT holds."""

    key: str  # of the method's code and the clips
    predicted: list[str]
    seconds_a_clip: float
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
    faces = (
        "drawn" if options.faces is None else hashlib.sha256(bytes(options.faces.resolve())).hexdigest()[:8]
    )
    root = options.out / f"clips-{options.difficulty}-{options.seed}-{faces}"
    if not root.exists():
        unfinished = root.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was stopped
        microexpr.simulate(unfinished, difficulty=options.difficulty, faces=options.faces, seed=options.seed)
        unfinished.replace(root)
    return root


def as_grey(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a clip as uint8, its lowest value 0 and its highest 255."""
    values = frames.astype(np.float64)
    span = max(float(np.ptp(values)), 1e-12)
    return np.round(255 * (values - values.min()) / span).astype(np.uint8)


def digest_of(clips: Clips) -> bytes:
    """SHA-256 of what the clips are and of what is in their files."""
    digest = hashlib.sha256(clips.table[["dataset", "subject", "clip", "emotion"]].to_csv().encode())
    for frames in tqdm(clips.frames, "clips: have any changed", unit="clip", delay=2):
        digest.update(frames.tobytes() if isinstance(frames, np.ndarray) else content_digest(frames))
    return digest.digest()


def key_of(name: str, of_clips: bytes) -> str:
    """Tell whether a stored result still holds: it depends on the method's code and on the clips."""
    digest = hashlib.sha256(of_clips)
    for path in sorted((HERE / "comparators").glob("*.py")):
        if path.stem == name or path.stem not in NAMES:  # its own, and what they share
            digest.update(path.read_bytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------ one method


def run(name: str, clips: Clips, key: str) -> Result:
    """Describe all clips and predict each, in this process and its workers."""
    method = load(name)
    work = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_describe)(name, frames) for frames in clips.frames
    )
    described = list(tqdm(work, f"{method.name}: clips", len(clips.frames), unit="clip"))
    X = np.stack([x for x, _ in described])
    start = perf_counter()
    predicted = method.classify(X, clips.table)
    seconds = perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # only of processes that have ended the memory is known
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds_a_clip = float(np.mean([s for _, s in described]))
    return Result(key, list(map(str, predicted)), seconds_a_clip, seconds, most / 1024)


def _describe(name: str, frames: Any) -> tuple[NDArray, float]:
    """Return the description of one clip, and how long it took without decoding."""
    if not isinstance(frames, np.ndarray):
        frames = read_frames(frames, progress=False)
    describe = load(name).describe
    start = perf_counter()
    return np.asarray(describe(frames)), perf_counter() - start


# ------------------------------------------------------------------------------------------------- the table


def table_of(results: dict[str, Result], clips: Clips) -> str:
    """Write the table: a row a method, differences to the paper's recipe where that was run."""
    y, groups = (clips.table[name].to_numpy(dtype=str) for name in ("emotion", "subject"))
    labels = np.unique(y)
    scores = {name: Scores(y, np.array(result.predicted), groups, labels) for name, result in results.items()}
    resamples = {name: bootstrap(of_method) for name, of_method in scores.items()}
    lines = [
        "| method | accuracy | UF1 | UAR | accuracy against the paper's | McNemar's p | ms a clip "
        "| s to train | MB | quoted |",
        "|" + " --- |" * 10,
    ]
    for name, result in results.items():
        method, of_method = load(name), scores[name]
        cells = [
            percent(of_method.accuracy, resamples[name]["accuracy"]),
            percent(of_method.uf1, resamples[name]["uf1"]),
            percent(of_method.uar, resamples[name]["uar"]),
            "",
            "",
        ]
        if name != "paper" and "paper" in scores:
            difference = of_method.accuracy - scores["paper"].accuracy
            paired = resamples[name]["accuracy"] - resamples["paper"]["accuracy"]
            cells[3:] = [percent(difference, paired), f"{mcnemar(of_method, scores['paper']).p:.2g}"]
        cells += [
            f"{1e3 * result.seconds_a_clip:.3g}",
            f"{result.seconds_to_train:.3g}",
            f"{result.megabytes:.0f}",
            ", ".join(method.quoted),
        ]
        lines.append(f"| {method.name} ({method.source}) | {' | '.join(cells)} |")
    most = max(np.mean(y == label) for label in labels)
    lines += [
        "",
        f"{len(y)} clips of {len(set(groups))} subjects; always the largest class: {100 * most:.1f} %.",
    ]
    return "\n".join(lines)


def percent(value: float, resamples: NDArray) -> str:
    """Write a share and its 95 % interval over subjects."""
    low, high = interval(resamples)
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


# ---------------------------------------------------------------------------------------------- command line


def main(arguments: list[str]) -> int:
    """Run what is missing, each method in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="simulated, actions, or a data set that microexpr reads")
    parser.add_argument("root", type=Path, nargs="?", metavar="FOLDER", help="where it lies")
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="portraits for the simulation")
    parser.add_argument("--difficulty", choices=("easy", "real"), default="easy", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="some of the methods")
    parser.add_argument("--out", type=Path, default=Path("microexpr-comparison"), metavar="FOLDER")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)  # what a process of its own runs
    parser.add_argument("--key", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.dataset != "simulated" and options.root is None:
        parser.error(f"{options.dataset} needs the folder where it lies")
    options.out.mkdir(parents=True, exist_ok=True)
    clips = clips_of(options)
    if options.one:
        path = options.out / f"{options.one}.json"
        unfinished = path.with_suffix(".part")
        try:
            result = run(options.one, clips, options.key)
        except ModuleNotFoundError as error:
            parser.error(f"{options.one} needs {error.name}: pip install it, or leave it out with --only")
        unfinished.write_text(json.dumps(result._asdict()))
        unfinished.replace(path)
        return 0
    results, status, of_clips = {}, 0, digest_of(clips)
    for name in options.only:
        path, key = options.out / f"{name}.json", key_of(name, of_clips)
        if not path.exists() or Result(**json.loads(path.read_text())).key != key:
            path.unlink(missing_ok=True)
            subprocess.run([sys.executable, __file__, *arguments, "--one", name, "--key", key], check=False)
        if path.exists():
            results[name] = Result(**json.loads(path.read_text()))
        else:
            print(f"{name} could not be run, see above", file=sys.stderr)
            status = 1
    table = table_of(results, clips)
    (options.out / "table.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
