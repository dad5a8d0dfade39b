"""Classify textures and faces by LTOGP, and by LBP beside it.

    python docs/ltogp_texture.py [FACES]

Textures: patches of scikit-image's brick, grass and gravel, cut without overlap. One half of each picture
trains, the other is tested, then the other way round.

Faces: whose half face is it? The left halves, mirrored, train and the right halves are tested, then the
other way round; one portrait a subject. FACES is a folder of portraits of equal size (.pgm, .png or .jpg);
without it, no faces. The docs' figures are of 26 subjects of the ORL database, which
AT&T Laboratories Cambridge offer at https://cam-orl.co.uk/facedatabase.html, free for research if they are
credited.

Both descriptors see the same pixels, in the same blocks, at the same radius r, with 256 bins and the same
borders, and the classifier is the same: the nearest neighbour in Hellinger distance.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.feature import local_binary_pattern
from sklearn.metrics import pairwise_distances_argmin

import ltogp

WHERE = (
    "https://cam-orl.co.uk/facedatabase.html (AT&T Laboratories Cambridge; free for research, credit them)"
)
Images = NDArray[np.uint8]  # (n, H, W)
Describe = Callable[[Images, tuple[int, int]], NDArray[np.float32]]


class Task(NamedTuple):
    """Two halves of a data set: each trains once and is tested once."""

    name: str
    blocks: tuple[int, int]
    halves: tuple[Images, Images]
    labels: NDArray[np.intp]  # of either half


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Classify scikit-image's textures, and faces, by LTOGP, and by LBP beside it."
    )
    parser.add_argument(
        "faces",
        nargs="?",
        type=Path,
        help="folder of portraits of equal size, one a subject, as of the ORL database: " + WHERE,
    )
    faces = parser.parse_args(arguments).faces
    try:
        tasks = [*texture_tasks(), *(face_tasks(faces) if faces else [])]
    except (OSError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    print(f"{'task':<20}{'blocks':>8}{'classes':>9}{'tested':>8}{'chance':>8}", end="")
    print("".join(f"{name:>12}" for name in DESCRIPTORS))
    for task in tasks:
        classes = len(np.unique(task.labels))
        print(f"{task.name:<20}{'{} x {}'.format(*task.blocks):>8}{classes:>9}", end="")
        print(f"{2 * len(task.labels):>8}{1 / classes:>8.1%}", end="")
        print("".join(f"{accuracy(describe, task):>12.1%}" for describe in DESCRIPTORS.values()))


# ----------------------------------------------------------------------------------------------- evaluation


def accuracy(describe: Describe, task: Task) -> float:
    """Train on one half and test on the other, both ways; return the share of right answers."""
    first, second = (describe(half, task.blocks) for half in task.halves)
    right = [
        task.labels[nearest(train, test)] == task.labels for train, test in ((first, second), (second, first))
    ]
    return float(np.mean(right))


def nearest(train: NDArray[np.float32], test: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return which training sample is nearest in Hellinger distance: Euclidean, between square roots."""
    return pairwise_distances_argmin(np.sqrt(test), np.sqrt(train))


# ---------------------------------------------------------------------------------------------- descriptors


def lbp_histogram(images: Images, blocks: tuple[int, int], *, radius: int = 1) -> NDArray[np.float32]:
    """Count LBP codes (8 neighbours) in blocks: ltogp.histogram for LBP."""
    # local_binary_pattern takes zeros beyond the border, ltogp the nearest pixels: pad with these, and cut.
    r, inside = radius, slice(radius, -radius)
    padded = np.pad(images, ((0, 0), (r, r), (r, r)), mode="edge")
    codes = np.stack([local_binary_pattern(image, 8, r)[inside, inside] for image in padded])
    return count(codes.astype(np.intp), blocks)


def count(codes: NDArray[np.intp], blocks: tuple[int, int]) -> NDArray[np.float32]:
    """Count codes 0..255 of images (n, H, W) in blocks, laid out as ltogp.histogram does."""
    (n, height, width), (by, bx) = codes.shape, blocks
    i = ((np.arange(height) + 1) * by - 1) // height  # the row of blocks that each row of pixels is in
    j = ((np.arange(width) + 1) * bx - 1) // width
    block = np.arange(n)[:, None, None] * by * bx + i[:, None] * bx + j
    counts = np.bincount((block * 256 + codes).ravel(), minlength=n * by * bx * 256)
    return counts.reshape(n, -1).astype(np.float32)


DESCRIPTORS: dict[str, Describe] = {
    "LTOGP, r=1": partial(ltogp.histogram, radius=1),
    "LBP, r=1": partial(lbp_histogram, radius=1),
    "LTOGP, r=2": partial(ltogp.histogram, radius=2),
    "LBP, r=2": partial(lbp_histogram, radius=2),
}


# ------------------------------------------------------------------------------------------------ the data


def texture_tasks() -> Iterator[Task]:
    """Yield the task of telling brick, grass and gravel apart, for patches of several sizes."""
    pictures = [data.brick(), data.grass(), data.gravel()]  # they come with scikit-image, without a download
    for size in (8, 16, 32):
        halves = tuple(
            np.concatenate([patches(picture[:, side], size) for picture in pictures])
            for side in (slice(None, 256), slice(256, None))
        )
        labels = np.repeat(np.arange(3), len(halves[0]) // 3)
        yield Task(f"textures, {size} x {size}", (1, 1), halves, labels)


def patches(picture: Images, size: int) -> Images:
    """Cut a picture (H, W) into patches (n, size, size) without overlap; what is left over is dropped."""
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    grid = picture[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return grid.swapaxes(1, 2).reshape(-1, size, size)


def face_tasks(folder: Path) -> Iterator[Task]:
    """Yield the task of telling the subject from half a face, for several numbers of blocks."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of portraits; the ORL database is at {WHERE}")
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".pgm", ".png", ".jpg"})
    portraits = [np.asarray(Image.open(path).convert("L")) for path in paths]
    sizes = {portrait.shape for portrait in portraits}
    if len(paths) < 2 or len(sizes) > 1:
        found = f"{len(paths)} portraits" + (" of several sizes" if len(sizes) > 1 else "")
        raise ValueError(
            f"{folder} holds {found}; it must hold two or more of one size, .pgm, .png or .jpg, as those of "
            f"the ORL database: {WHERE}"
        )
    faces = np.stack(portraits)
    half = faces.shape[2] // 2
    halves = faces[:, :, :half][:, :, ::-1], faces[:, :, -half:]
    for blocks in ((1, 1), (4, 2), (7, 3)):
        yield Task("faces, half a face", blocks, halves, np.arange(len(faces)))


if __name__ == "__main__":
    main(sys.argv[1:])
