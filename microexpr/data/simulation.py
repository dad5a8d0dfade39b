"""Simulated micro-expressions: real JPEG files and a real spreadsheet in CASME II's layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .._checks import check_new_folder, is_whole
from .._extras import require
from .._progress import progress_bar
from .clips import image_paths, read_image
from .real_simulation import REAL, code_clips, draw_clip, envelope, largest_remainders

__all__ = ["CLASSES", "PROPORTIONS", "draw_face", "motion_field", "simulate"]

#: CASME II's five classes and how many clips of each the paper uses.
PROPORTIONS = {"happiness": 32, "surprise": 25, "disgust": 64, "repression": 27, "others": 99}
CLASSES = tuple(PROPORTIONS)

# What moves in each class: (centre x, centre y, direction x, direction y, extent x, extent y), all in
# fractions of the frame, y pointing down, and the action units that the spreadsheet names for it.
_MUSCLES = {
    "happiness": [(0.33, 0.74, -0.6, -0.8, 0.10, 0.08), (0.67, 0.74, 0.6, -0.8, 0.10, 0.08)],
    "surprise": [(0.31, 0.34, 0.0, -1.0, 0.13, 0.07), (0.69, 0.34, 0.0, -1.0, 0.13, 0.07)],
    "disgust": [(0.50, 0.57, 0.0, -1.0, 0.11, 0.08), (0.50, 0.69, 0.0, -0.8, 0.13, 0.05)],
    "repression": [
        (0.50, 0.88, 0.0, -1.0, 0.13, 0.06),
        (0.34, 0.77, -0.2, 0.8, 0.08, 0.05),
        (0.66, 0.77, 0.2, 0.8, 0.08, 0.05),
    ],
    "others": [(0.40, 0.35, 0.9, 0.4, 0.09, 0.07), (0.60, 0.35, -0.9, 0.4, 0.09, 0.07)],
}
ACTION_UNITS = {
    "happiness": "12",
    "surprise": "1+2",
    "disgust": "9+10",
    "repression": "15+17",
    "others": "4",
}

_LEAD = 2  # neutral frames written before the onset and after the offset: a reader must leave them out
CHROMA = (118, 140)  # Cb and Cr of every pixel: skin tone, so that the files are colour JPEGs, as CASME II's
QUALITY = 95


def simulate(
    out: str | os.PathLike[str],
    *,
    subjects: int = 26,
    clips: int = 246,
    difficulty: Literal["easy", "real"] = "easy",
    faces: str | os.PathLike[str] | None = None,
    noise: float = 1.0,
    motion: tuple[float, float] = (1.0, 2.0),
    drift: float = 0.1,
    frames: tuple[int, int] = (40, 90),
    size: tuple[int, int] = (128, 128),
    seed: int = 0,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Path:
    """Write a simulated data set in CASME II's layout.

    Each clip is one face, warped in every frame by a displacement field, whose strength rises from the
    onset to the apex and partly falls back until the offset. Head drift and sensor noise are added to it.
    The classes come in CASME II's proportions.

    The easy clips have one field for each class (see `motion_field`), at fixed places of the frame, a slow
    change of light, and a motion unrelated to the class: where they move tells the class. In the real
    ones each class is a choice of action units, some of them in two classes, placed by the face's own eyes
    and mouth, some on one side only; eyes blink and look about, mouths move, heads turn in depth, light moves
    and flickers; people come on several days, with another crop, pose, light and contrast, some often and
    some once. Methods that read motion score there about as published of CASME II, those that read texture
    lower (docs/simulation.md).

    Parameters
    ----------
    out : path
        Folder to write into; made if it is not there, and refused if it holds anything. Frames go to
        ``out/Cropped/subNN/EPNN_NN/reg_imgN.jpg``, the codings to ``out/CASME2-coding-simulated.xlsx``.
    subjects, clips : int
        How many of each; every subject gets ``clips // subjects`` clips or one more.
    difficulty : {"easy", "real"}
        What is drawn; docs/simulation.md has every number of both, and where it is from.
    faces : path, optional
        Folder of portraits, one per subject, taken in the order of their names. By default the faces
        are drawn (`draw_face`).
    noise : float
        Standard deviation of the sensor noise, in grey levels (of 255) of the frames written. Resizing
        larger frames to 128 x 128 averages it away.
    motion : (float, float)
        Range of the peak displacement of a clip, in pixels of a frame of 128 x 128, the size that the
        method works at: it means the same at any `size`.
    drift : float
        Most that the head drifts from onset to offset in each direction, in the same pixels.
    frames : (int, int)
        Range of the number of frames from onset to offset, both ends included.
    size : (int, int)
        Height and width of the frames, in pixels. Cropped frames of CASME II are about (340, 280).
    seed : int
        The same seed and parameters write the same files.
    n_jobs : int, optional
        Number of threads, as in joblib; -1 uses every core.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    pathlib.Path
        `out`, ready for `microexpr.data.read_casme2`.

    Raises
    ------
    ValueError
        If a parameter is out of range, or `faces` holds fewer portraits than `subjects`.
    FileExistsError
        If `out` is not empty.
    ModuleNotFoundError
        If the ``datasets`` extra is not installed.

    Notes
    -----
    What is measured on these clips is a property of the simulation, not of any real data set.
    """
    require("simulating a data set", "datasets")
    import pandas as pd

    if difficulty not in ("easy", "real"):
        raise ValueError(f"difficulty is {difficulty!r}; it must be 'easy' or 'real'")
    _check(subjects, clips, noise, motion, drift, frames, size, seed)
    effective_n_jobs(n_jobs)  # raises here what `Parallel` would raise after the folder was made
    out = Path(out)
    check_new_folder(out, "simulate")
    portraits = portraits_of(faces, subjects, size, seed)
    if difficulty == "easy":
        table = _coding(subjects, clips, frames, seed)
    else:
        table = code_clips(PROPORTIONS, subjects, clips, frames, _LEAD, seed)
    draw, quality = (_draw_easy, QUALITY) if difficulty == "easy" else (draw_clip, REAL.quality)
    out.mkdir(parents=True, exist_ok=True)

    jobs = (
        delayed(_write_clip)(
            out / "Cropped" / f"sub{row['Subject']:02d}" / row["Filename"],
            numbers := _numbers(row),
            draw(row, numbers, portraits[row["Subject"] - 1], noise, motion, drift, (seed, index)),
            quality,
        )
        for index, row in enumerate(table)
    )
    done = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    for _ in progress_bar(done, "simulate", clips, "clip", progress):
        pass
    # The spreadsheet comes last: a folder without one is a run that did not end.
    pd.DataFrame(table).to_excel(out / "CASME2-coding-simulated.xlsx", index=False)
    return out


def motion_field(emotion: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Displacement field of a class, largest length 1.

    A sum of Gaussian bumps where the facial muscles of that class act: lip corners up (happiness), brows
    up (surprise), nose and upper lip up (disgust), chin up and lip corners down (repression), brows
    together (others).

    Parameters
    ----------
    emotion : str
        One of `CLASSES`.
    size : (int, int)
        Height and width of the frame, in pixels.

    Returns
    -------
    ndarray of shape (2, height, width)
        Displacement along the rows (down is positive) and along the columns.

    Examples
    --------
    >>> field = motion_field("surprise", (64, 64))
    >>> bool(field[0].min() < -0.99), bool(abs(field[1]).max() == 0)   # straight up
    (True, True)
    """
    return bumps(_MUSCLES[emotion], size)


def draw_face(size: tuple[int, int], seed: int | Sequence[int]) -> NDArray[np.float64]:
    """Draw a face with brows, eyes, nose, mouth and skin texture, different for each seed.

    Parameters
    ----------
    size : (int, int)
        Height and width, in pixels.
    seed : int or sequence of int
        Seed of `numpy.random.default_rng`.

    Returns
    -------
    ndarray of shape (height, width)
        Grey levels from 0 to 255.

    Examples
    --------
    >>> draw_face((34, 28), seed=1).shape
    (34, 28)
    """
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.float64]:
        edge = (1 - np.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx * width, ry * height)
        return np.clip(edge + 0.5, 0, 1)  # a rim of one pixel: anti-aliased

    face = np.full(size, rng.uniform(40, 220))

    def paint(shape: NDArray[np.float64], grey: float) -> None:
        face[...] += shape * (grey - face)

    skin, hair = rng.uniform(130, 190), rng.uniform(20, 90)
    brow_y, eye_y, mouth_y = 0.35 + rng.uniform(-0.02, 0.02), 0.43 + rng.uniform(-0.02, 0.02), 0.75
    eye_dx, mouth_rx, nose_rx = rng.uniform(0.16, 0.20), rng.uniform(0.12, 0.18), rng.uniform(0.05, 0.08)

    paint(ellipse(0.5, 0.42, 0.47, 0.46), hair)
    paint(ellipse(0.5, 0.55, rng.uniform(0.38, 0.43), 0.47), skin)
    face += 22 * (0.5 - np.abs(x - rng.uniform(0.4, 0.6))) - 16 * (y - 0.5)  # light from one side
    for side in (-1, 1):
        eye_x = 0.5 + side * eye_dx
        bow = 3 * (x - eye_x) ** 2
        brow = np.clip((0.014 - np.abs(y - brow_y - bow)) * height + 0.5, 0, 1) * (np.abs(x - eye_x) < 0.10)
        paint(brow, 0.7 * hair)
        paint(ellipse(eye_x, eye_y, 0.075, 0.028), skin + 45)
        paint(ellipse(eye_x, eye_y, 0.030, 0.028), 40)
        paint(ellipse(0.5 + side * 0.45 * nose_rx, 0.615, 0.018, 0.010), 0.45 * skin)
        face -= 14 * np.exp(-(((x - 0.5 - side * nose_rx) / 0.02) ** 2 + ((y - 0.53) / 0.10) ** 2))
    paint(ellipse(0.5, mouth_y, mouth_rx, 0.030), 0.62 * skin)
    paint(ellipse(0.5, mouth_y, mouth_rx, 0.006), 0.35 * skin)
    # Skin is never flat: without texture the descriptor would see nothing but sensor noise there.
    for scale, depth in ((0.7, 3.0), (1.5, 5.0), (5.0, 7.0)):
        texture = ndimage.gaussian_filter(rng.standard_normal(size), scale)
        face += depth * texture / texture.std()
    return np.clip(face, 0, 255)


def _check(
    subjects: int,
    clips: int,
    noise: float,
    motion: tuple[float, float],
    drift: float,
    frames: tuple[int, int],
    size: tuple[int, int],
    seed: int,
) -> None:
    if not is_whole(subjects) or not 2 <= subjects <= 99:
        raise ValueError(f"subjects is {subjects!r}; it must be between 2 (for LOSO) and 99")
    if not is_whole(clips) or not subjects <= clips <= 100_000:
        raise ValueError(
            f"clips is {clips!r}; {subjects} subjects need at least {subjects}, and 100000 are the most"
        )
    if not is_pair(frames, is_whole) or not 2 <= frames[0] <= frames[1] <= 100_000:
        raise ValueError(f"frames is {frames!r}; it must be (fewest, most), 2 <= fewest <= most <= 100000")
    check_pictures(noise, motion, drift, size, seed)


def check_pictures(noise: Any, motion: Any, drift: Any, size: Any, seed: Any) -> None:
    """Raise unless these are what clips and long videos can be drawn with."""
    if not is_number(noise) or not 0 <= noise <= 255:
        raise ValueError(f"noise is {noise!r}; it must be 0 to 255 grey levels")
    if not is_pair(motion, is_number) or not 0 <= motion[0] <= motion[1] <= 128:
        raise ValueError(
            f"motion is {motion!r}; it must be (least, most) in pixels, 0 <= least <= most <= 128"
        )
    if not is_number(drift) or not 0 <= drift <= 128:
        raise ValueError(f"drift is {drift!r}; it must be 0 to 128 pixels")
    if not is_pair(size, is_whole) or not 16 <= min(size) <= max(size) <= 4096:
        raise ValueError(f"size is {size!r}; height and width must be at least 16 pixels, and at most 4096")
    if not is_whole(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it must be a whole number, 0 or more")


def is_number(value: Any) -> bool:
    """Whether it is a number by its type; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_pair(values: Any, is_kind: Callable[[Any], bool]) -> bool:
    """Whether it is two values of a kind."""
    return isinstance(values, Sequence | np.ndarray) and len(values) == 2 and all(map(is_kind, values))


def portraits_of(
    folder: str | os.PathLike[str] | None, subjects: int, size: tuple[int, int], seed: int
) -> list[NDArray[np.float64]]:
    """Faces of so many subjects: portraits of a folder, or drawn ones."""
    if folder is None:
        return [draw_face(size, [seed, 1, subject]) for subject in range(subjects)]
    paths = image_paths(folder)
    if len(paths) < subjects:
        raise ValueError(f"{folder} holds {len(paths)} portraits; {subjects} subjects need {subjects}")
    # Cubic, because between the pixels of a linear enlargement the second differences are all zero.
    shape = (size[1], size[0])
    images = [Image.fromarray(read_image(path).astype(np.float32)) for path in paths[:subjects]]
    return [np.asarray(image.resize(shape, Image.Resampling.BICUBIC), dtype=float) for image in images]


def _coding(subjects: int, clips: int, frames: tuple[int, int], seed: int) -> list[dict[str, Any]]:
    """Rows of the spreadsheet, with CASME II's columns."""
    rng = np.random.default_rng([seed, 0])
    counts = largest_remainders(np.array(list(PROPORTIONS.values()), dtype=float), clips)
    emotions = rng.permutation(np.repeat(CLASSES, counts))
    rows = []
    for index, emotion in enumerate(emotions):
        subject, take = index % subjects + 1, index // subjects + 1
        onset = int(rng.integers(_LEAD + 1, 120))
        length = int(rng.integers(frames[0], frames[1] + 1))
        offset = onset + length - 1
        apex = onset + round(rng.uniform(0.5, 0.8) * (length - 1))
        rows.append(
            {
                "Subject": subject,
                "Filename": f"EP{subject:02d}_{take:02d}",
                "OnsetFrame": onset,
                "ApexFrame": apex,
                "OffsetFrame": offset,
                "Action Units": ACTION_UNITS[emotion],
                "Estimated Emotion": str(emotion),
            }
        )
    return sorted(rows, key=lambda row: (row["Subject"], row["Filename"]))


def _numbers(row: dict[str, Any]) -> NDArray[np.int_]:
    return np.arange(row["OnsetFrame"] - _LEAD, row["OffsetFrame"] + _LEAD + 1)


def _draw_easy(
    row: dict[str, Any],
    numbers: NDArray[np.int_],
    portrait: NDArray[np.float64],
    noise: float,
    motion: tuple[float, float],
    drift: float,
    seed: tuple[int, int],
) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng([2, *seed])
    height, width = size = portrait.shape
    strength = envelope(
        numbers, row["OnsetFrame"], row["ApexFrame"], row["OffsetFrame"], rng.uniform(0.5, 1.0)
    )
    elapsed = np.linspace(0, 1, len(numbers))

    expression = rng.uniform(*motion) * motion_field(row["Estimated Emotion"], size)
    angle = rng.uniform(0, 2 * np.pi)
    x, y = rng.uniform(0.15, 0.85, 2)
    unrelated = rng.uniform(0, 0.5 * motion[1]) * bumps(
        [(x, y, np.cos(angle), np.sin(angle), 0.1, 0.1)], size
    )
    twitch = np.exp(-(((elapsed - rng.uniform(0, 1)) / 0.2) ** 2))
    shift, sway, phase = (
        rng.uniform(-drift, drift, 2),
        rng.uniform(0, 0.3 * drift, 2),
        rng.uniform(0, 2 * np.pi, 2),
    )
    light = rng.uniform(-3, 3) * elapsed

    coefficients = ndimage.spline_filter(portrait, order=3, mode="mirror")
    grid = np.mgrid[:height, :width].astype(float)
    scale = np.array(size)[:, None, None] / 128
    for t in range(len(numbers)):
        head = shift * elapsed[t] + sway * np.sin(2 * np.pi * elapsed[t] + phase)
        moved = strength[t] * expression + twitch[t] * unrelated + head[:, None, None]
        source = grid - moved * scale
        frame = ndimage.map_coordinates(coefficients, source, order=3, mode="mirror", prefilter=False)
        yield frame + (light[t] + noise * rng.standard_normal(size))


def _write_clip(
    folder: Path, numbers: NDArray[np.int_], frames: Iterator[NDArray[np.float64]], quality: int
) -> None:
    folder.mkdir(parents=True)
    for number, frame in zip(numbers, frames, strict=True):
        luma = Image.fromarray(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
        chroma = [Image.new("L", luma.size, level) for level in CHROMA]
        Image.merge("YCbCr", [luma, *chroma]).save(folder / f"reg_img{number}.jpg", quality=quality)


def bumps(
    muscles: list[tuple[float, float, float, float, float, float]], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Displacement (down, across) of a sum of Gaussian bumps, largest length 1."""
    y, x = (np.mgrid[: size[0], : size[1]] + 0.5) / np.array(size)[:, None, None]
    field = np.zeros((2, *size))
    for cx, cy, dx, dy, rx, ry in muscles:
        bump = np.exp(-0.5 * (((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2))
        field += np.array([dy, dx])[:, None, None] * bump
    return field / np.hypot(*field).max()
