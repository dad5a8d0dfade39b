"""Put other features, another pooling and another classifier where the paper's stand, on simulated clips.

    python docs/other_features.py [--subjects 8] [--clips 80] [--out FOLDER]

LTOGP beside two descriptors of scikit-image, the uniform LBP counted in 8 x 8 blocks and HOG in 8 x 8 cells;
rank pooling beside the last third of a clip less its first third, and the mean; the SVM beside linear
discriminant analysis. Every line is `microexpr.experiment.extract_and_evaluate` of the same simulated clips:
leave one subject out, without and with feature selection, 95 % intervals over subjects. With --out it also
writes each line's tables and pictures, the face among them, because all three have blocks.

Needs scikit-image (pip install "microexpr[all]"). Takes a minute or two on two cores.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog, local_binary_pattern
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from microexpr import Features, read_casme2, simulate
from microexpr.experiment import Settings, extract_and_evaluate, save_evaluation
from microexpr.plots import save_evaluation as save_pictures

BLOCKS = (8, 8)


def lbp(frames: NDArray[np.uint8], points: int = 8, radius: int = 1) -> NDArray[np.float64]:
    """Count the uniform LBP of each frame in blocks: (T, height, width) -> (T, 8 * 8 * (points + 2))."""
    rows = []
    for frame in frames:
        codes = local_binary_pattern(frame, points, radius, method="uniform").astype(int)
        strips = np.array_split(codes, BLOCKS[0], axis=0)
        blocks = [block for strip in strips for block in np.array_split(strip, BLOCKS[1], axis=1)]
        rows.append(np.concatenate([np.bincount(block.ravel(), minlength=points + 2) for block in blocks]))
    return np.array(rows, dtype=float)


def hog_cells(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the histograms of oriented gradients of each frame: (T, height, width) -> (T, 8 * 8 * 9)."""
    height, width = frames.shape[1:]
    cell = (height // BLOCKS[0], width // BLOCKS[1])
    return np.array([hog(frame, pixels_per_cell=cell, cells_per_block=(1, 1)) for frame in frames])


def thirds(V: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the last third of the frames less that of the first."""
    n = max(1, len(V) // 3)
    return V[-n:].mean(axis=0) - V[:n].mean(axis=0)


def mean(V: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the frames, which does not know their order."""
    return V.mean(axis=0)


LBP, HOG = Features(lbp, blocks=BLOCKS), Features(hog_cells, "hog", blocks=BLOCKS)

# What stands where: features (None is LTOGP), pooling, classifier (None is the linear SVM).
RECIPES: list[tuple[Features | None, Any, Any]] = [
    (None, "rank", None),
    (LBP, "rank", None),
    (HOG, "rank", None),
    (None, thirds, None),
    (None, mean, None),
    (LBP, "rank", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Other features, pooling and classifiers where the paper's stand, on simulated clips."
    )
    parser.add_argument("--subjects", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=80, help="(%(default)s)")
    parser.add_argument("--n-features", type=int, default=100, metavar="N", help="(%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write tables and pictures there")
    options = parser.parse_args(arguments)
    settings = Settings(n_features=options.n_features, sweep=False, nested=False)
    with tempfile.TemporaryDirectory() as temporary:
        root = simulate(
            Path(temporary) / "data", subjects=options.subjects, clips=options.clips, frames=(20, 40)
        )
        table = read_casme2(root)
        print(
            f"SIMULATED: {len(table)} clips of {options.subjects} drawn faces, not real micro-expressions; "
            f"leave one subject out, N = {options.n_features}\n"
        )
        print(
            f"{'features':<10}{'pooling':<9}{'classifier':<12}{'without selection':>26}{'with selection':>26}"
        )
        for features, pooling, classifier in RECIPES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                done = extract_and_evaluate(
                    table, settings, features=features, pooling=pooling, classifier=classifier
                )
            names = (
                "LTOGP" if features is None else features.name,
                pooling if isinstance(pooling, str) else pooling.__name__,
                "linear SVM" if classifier is None else "shrunk LDA",
            )
            cells = (
                f"{100 * row.scores.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
                for row in done.rows
                for low, high in [row.intervals["accuracy"]]
            )
            print(f"{names[0]:<10}{names[1]:<9}{names[2]:<12}" + "".join(f"{cell:>26}" for cell in cells))
            if options.out:
                folder = options.out / "-".join(names).replace(" ", "_")
                save_evaluation(done, folder)
                save_pictures(done, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
