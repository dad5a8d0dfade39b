"""How well each way to stabilise finds the head's drift, what it takes, and what accuracy it leaves.

    python docs/drift_accuracy.py [--faces FOLDER] [--clips 120] [--subjects 20] [--no-accuracy]

Simulated clips (`microexpr.simulate`), whose true head path is known: drawn faces, or portraits in FOLDER.
Three tables: the rms error of the drift, in pixels; the time a frame takes, on one thread; the accuracy when
one subject is left out, by all features of the paper's representation, by 450 selected, and by the energy in
each block, log ||u_b||. The light of the simulator changes by up to 3 grey levels over a clip; under "side
light" one half of the face grows up to 15 % lighter besides and the other as much darker.

20 minutes on two cores; 3 without accuracy.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from threadpoolctl import threadpool_limits

from microexpr import describe, loso, make_classifier, read_casme2, simulate
from microexpr.data import drift, read_frames
from microexpr.data.stabilisation import settle

LEAD = 2  # frames that `simulate` writes before the onset and after the offset
DRIFTS = (0.1, 0.5, 1.0, 2.0)
WAYS = {"integer": {"subpixel": False}, "subpixel": {}, "tiles": {"tiles": True}}
MODES = [(None, 0), (None, 1), *[(way, blur) for way in WAYS for blur in (0, 1)], ("tiles", 0.5)]


def settled(frames: NDArray[np.uint8], method: str | None, blur: float) -> NDArray:
    """Stabilise and blur, also by whole pixels, which `stabilise` did once."""
    if method != "integer":
        return settle(frames, method, blur, None)
    shifts = drift(frames, subpixel=False)
    moved = [
        ndimage.shift(frame, -shift, order=0, mode="nearest")
        for frame, shift in zip(frames, shifts, strict=True)
    ]
    return settle(np.stack(moved), None, blur, None)


def head_path(row: int, clip: pd.Series, motion: tuple[float, float], drift: float, seed: int = 0) -> NDArray:
    """Where the head of a simulated clip is relative to its onset: (T, 2), down and to the right, in pixels.

    The random numbers of `simulate` drawn again, in its order; `row` counts the clips of its spreadsheet.
    """
    rng = np.random.default_rng([2, seed, row])
    rng.uniform(0.5, 1.0)  # how far the expression falls back
    rng.uniform(*motion)
    rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.85, 2), rng.uniform(0, 0.5 * motion[1])  # unrelated motion
    rng.uniform(0, 1)  # when
    shift, sway = rng.uniform(-drift, drift, 2), rng.uniform(0, 0.3 * drift, 2)
    phase = rng.uniform(0, 2 * np.pi, 2)
    elapsed = np.linspace(0, 1, clip["offset"] - clip["onset"] + 1 + 2 * LEAD)[:, None]
    path = shift * elapsed + sway * np.sin(2 * np.pi * elapsed + phase)
    return path[LEAD:-LEAD] - path[LEAD]


def side_light(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Let one half of the face grow lighter from frame to frame, and the other darker."""
    elapsed, x = np.linspace(0, 1, len(frames))[:, None, None], np.linspace(-0.5, 0.5, frames.shape[2])
    return np.clip(np.rint(frames * (1 + 0.3 * elapsed * x)), 0, 255).astype(np.uint8)


def errors(folder: Path, options: argparse.Namespace) -> None:
    """Print the rms error of each way to measure the drift."""
    print(f"rms error, pixels | {' | '.join(f'drift {d:g}' for d in DRIFTS)}")
    for motion in ((0.0, 0.0), (1.0, 2.0)):
        found: dict[tuple[str, str], list[float]] = {}
        for most in DRIFTS:
            square: dict[tuple[str, str], list[NDArray]] = {}
            for frames, truth in clips(folder / f"{motion[1]}-{most}", options, motion, most):
                for light, seen in (("", frames), (", side light", side_light(frames))):
                    for way, how in WAYS.items():
                        square.setdefault((way, light), []).append((drift(seen, **how) - truth) ** 2)
            for key, values in square.items():
                found.setdefault(key, []).append(np.sqrt(np.concatenate(values).mean()))
        for (way, light), row in sorted(found.items(), key=lambda item: item[0][1]):
            moves = "expression" if motion[1] else "no expression"
            print(f"{way}, {moves}{light} | {' | '.join(f'{value:.3f}' for value in row)}", flush=True)


def clips(
    root: Path, options: argparse.Namespace, motion: tuple[float, float], most: float
) -> Iterator[tuple[NDArray[np.uint8], NDArray]]:
    """Yield frames and the true head path of simulated clips."""
    simulate(root, subjects=13, clips=26, frames=(20, 40), motion=motion, drift=most, faces=options.faces)
    for row, clip in read_casme2(root).iterrows():
        yield read_frames(clip["frames"], progress=False), head_path(row, clip, motion, most)


def times(folder: Path, options: argparse.Namespace) -> None:
    """Print what a frame of 128 x 128 takes, the best of 20, on one thread."""
    frames = next(clips(folder / "times", options, (1.0, 2.0), 1.0))[0]
    print("\nms a frame, one thread | ")
    for method, blur in [(way, 0) for way in WAYS] + [("tiles", 1)]:
        seconds = np.inf
        for _ in range(20):
            start = time.process_time()
            settled(frames, method, blur)
            seconds = min(seconds, time.process_time() - start)
        print(f"{method}{', blur 1' * blur} | {1000 * seconds / len(frames):.2f}", flush=True)


def accuracies(folder: Path, options: argparse.Namespace) -> None:
    """Print the accuracy of each mode, in percent: all features / 450 selected / energy in each block."""
    warnings.simplefilter("ignore")  # fewer rows of W than features asked for
    print(f"\naccuracy, %: all / 450 selected / energy | {' | '.join(f'drift {d:g}' for d in DRIFTS)}")
    stacks, tables = {}, {}
    for most in DRIFTS:
        root = folder / f"accuracy-{most}"
        simulate(
            root,
            subjects=options.subjects,
            clips=options.clips,
            frames=(20, 40),
            drift=most,
            faces=options.faces,
        )
        tables[most] = read_casme2(root)
        stacks[most] = [read_frames(paths, progress=False) for paths in tables[most]["frames"]]
    for method, blur in MODES:
        cells = []
        for most in DRIFTS:
            X = np.stack([describe(settled(frames, method, blur)) for frames in stacks[most]])
            energy = np.log(np.linalg.norm(X.reshape(len(X), 64, 256), axis=2) + 1e-9)
            y, subjects = (tables[most][name].to_numpy(str) for name in ("emotion", "subject"))
            tried = ((X, "all"), (X, 450), (energy, "all"))
            scores = [loso(Z, y, subjects, make_classifier(n)).accuracy for Z, n in tried]
            cells.append(" / ".join(f"{100 * score:.1f}" for score in scores))
        print(f"{method or 'off'}{f', blur {blur:g}' * bool(blur)} | {' | '.join(cells)}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description="What each way to stabilise simulated clips finds, takes, and leaves of the accuracy."
    )
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="portraits (default: drawn faces)")
    parser.add_argument("--clips", type=int, default=120, help="of the accuracy (%(default)s)")
    parser.add_argument("--subjects", type=int, default=20, help="of the accuracy (%(default)s)")
    parser.add_argument("--no-accuracy", action="store_true", help="only the errors and the times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, threadpool_limits(1):
        errors(Path(temporary), options)
        times(Path(temporary), options)
        if not options.no_accuracy:
            accuracies(Path(temporary), options)


if __name__ == "__main__":
    main()
