"""Simulated long videos: several micro-expressions in each, among blinks and movements of the head."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .._checks import check_new_folder, is_positive, is_whole
from .._csv_file import write_csv
from .._extras import require
from .._progress import progress_bar
from .simulation import CHROMA, CLASSES, QUALITY, bumps, check_pictures, is_number, motion_field, portraits_of

__all__ = ["simulate_long"]

MANIFEST = "long-simulated.csv"  # what ends in -simulated is read as simulated

# Seconds, least and most.
_EXPRESSION = (0.2, 0.5)
_BLINK = (0.15, 0.35)
_HEAD = (0.4, 1.5)  # a turn of the head
_SLOW = (1.0, 3.0)  # some other movement, longer than a micro-expression
_PAUSE = 1.0  # least, between expressions and at both ends

# In a minute.
_HEADS, _SLOWS = 4, 3

# The eyes, in fractions of the frame, and how far their lids come down.
_EYES = ((0.32, 0.43), (0.68, 0.43))
_EYE = (0.10, 0.045)
_LID = 0.07


def simulate_long(
    out: str | os.PathLike[str],
    *,
    videos: int = 4,
    seconds: float = 60,
    fps: float = 200,
    expressions: int = 6,
    blinks: float = 15,
    faces: str | os.PathLike[str] | None = None,
    noise: float = 1.0,
    motion: tuple[float, float] = (1.0, 2.0),
    drift: float = 0.5,
    size: tuple[int, int] = (128, 128),
    video: bool = False,
    seed: int = 0,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Path:
    """Write simulated long videos, and a manifest of the micro-expressions in them.

    Each video is one face. It sways all the time; now and then the head turns, the eyes blink, or some other
    part of the face moves for a second or longer, which is no micro-expression. The micro-expressions last
    0.2 to 0.5 s: the displacement field of a class (`microexpr.data.motion_field`) rises from the onset to
    the apex and falls back to nothing until the offset. At least a second lies between two of them, and
    before the first and behind the last; all else may fall together with them. Light changes slowly, and
    sensor noise is added.

    Parameters
    ----------
    out : path
        Folder to write into; made if it is not there, and refused if it holds anything. Frames go to
        ``out/videoNN/imgNNNNNN.jpg``, the codings to ``out/long-simulated.csv``.
    videos : int
        How many, each of a face of its own.
    seconds, fps : float
        Length of a video, and frames in a second.
    expressions : int
        Micro-expressions in a video.
    blinks : float
        Blinks in a minute, on average.
    faces : path, optional
        Folder of portraits, as for `microexpr.simulate`; by default the faces are drawn.
    noise : float
        Standard deviation of the sensor noise, in grey levels.
    motion : (float, float)
        Range of the peak displacement of an expression, in pixels of a frame of 128 x 128.
    drift : float
        How far the head sways to either side, in the same pixels; a turn of the head is up to twice as far.
    size : (int, int)
        Height and width of the frames, in pixels.
    video : bool
        Write ``out/videoNN.mp4`` instead of folders: H.264 without loss (needs the ``video`` extra).
    seed : int
        The same seed and parameters simulate the same frames.
    n_jobs : int, optional
        Number of threads, each for one video; -1 uses every core.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    pathlib.Path
        The manifest, ready for `microexpr.data.read_manifest`.

    Raises
    ------
    ValueError
        If a parameter is out of range, so many expressions do not fit, or `faces` holds too few portraits.
    FileExistsError
        If `out` is not empty.
    ModuleNotFoundError
        If `video` is true and PyAV is not installed.

    Notes
    -----
    What is measured on these videos is a property of the simulation, not of any real face.

    Examples
    --------
    >>> import tempfile
    >>> from microexpr.data import read_manifest, simulate_long
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = simulate_long(folder, videos=1, seconds=6, fps=10, expressions=2, size=(16, 16),
    ...                              progress=False)
    ...     table = read_manifest(manifest)
    >>> len(table), table.attrs["simulated"], bool((table["offset"] - table["onset"] < 5).all())
    (2, True, True)
    """
    _check(videos, seconds, fps, expressions, blinks, noise, motion, drift, size, seed)
    if video:
        require("writing videos", "video")
        if size[0] % 2 or size[1] % 2:
            raise ValueError(f"size is {size!r}; of a video height and width must be even")
    effective_n_jobs(n_jobs)  # raises here what `Parallel` would raise after the folder was made
    out = Path(out)
    check_new_folder(out, "simulate")
    portraits = portraits_of(faces, videos, size, seed)
    out.mkdir(parents=True, exist_ok=True)

    jobs = (
        delayed(_write_video)(
            out,
            number,
            portraits[number],
            seconds,
            fps,
            expressions,
            blinks,
            noise,
            motion,
            drift,
            video,
            seed,
        )
        for number in range(videos)
    )
    done = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    rows = [row for rows in progress_bar(done, "simulate", videos, "video", progress) for row in rows]
    # The manifest comes last: a folder without one is a run that did not end.
    write_csv(out / MANIFEST, rows)
    return out / MANIFEST


def _check(
    videos: Any,
    seconds: Any,
    fps: Any,
    expressions: Any,
    blinks: Any,
    noise: Any,
    motion: Any,
    drift: Any,
    size: Any,
    seed: Any,
) -> None:
    if not is_whole(videos) or not 1 <= videos <= 99:
        raise ValueError(f"videos is {videos!r}; it must be 1 to 99")
    if not is_positive(fps) or not 10 <= fps <= 1000:
        raise ValueError(f"fps is {fps!r}; it must be 10 to 1000 frames a second")
    if not is_positive(seconds) or seconds > 7200:
        raise ValueError(f"seconds is {seconds!r}; it must be positive, and at most 7200")
    if not is_whole(expressions) or expressions < 1:
        raise ValueError(f"expressions is {expressions!r}; it must be a whole number of at least 1")
    least = _PAUSE + expressions * (_EXPRESSION[1] + _PAUSE)
    if seconds < least:
        raise ValueError(
            f"seconds is {seconds!r}; {expressions} expressions with pauses between them need {least:g} s"
        )
    if not is_number(blinks) or not 0 <= blinks <= 60:
        raise ValueError(f"blinks is {blinks!r}; it must be 0 to 60 in a minute")
    check_pictures(noise, motion, drift, size, seed)


def _write_video(
    out: Path,
    number: int,
    portrait: NDArray[np.float64],
    seconds: float,
    fps: float,
    expressions: int,
    blinks: float,
    noise: float,
    motion: tuple[float, float],
    drift: float,
    video: bool,
    seed: int,
) -> list[dict[str, Any]]:
    """Write one video, and return its rows of the manifest: frames counted from 0."""
    rng = np.random.default_rng([seed, 3, number])
    n_frames = round(seconds * fps)
    name = f"video{number + 1:02d}"
    source = {"video": f"{name}.mp4"} if video else {"folder": name}
    rows, waves = [], []
    for k, onset in enumerate(_onsets(rng, seconds, expressions)):
        length = rng.uniform(*_EXPRESSION)
        apex = onset + rng.uniform(0.35, 0.65) * length
        emotion = str(rng.choice(CLASSES))
        field = rng.uniform(*motion) * motion_field(emotion, portrait.shape)
        first, peak, last = (round(second * fps) for second in (onset, apex, onset + length))
        waves.append((first, peak, last, field))
        row = {"subject": f"{number + 1:02d}", "clip": f"{name}_{k + 1:02d}", "emotion": emotion}
        row |= {"onset": first, "apex": peak, "offset": last, "fps": f"{fps:g}", "face": "no"}
        rows.append({**source, **row, "dataset": "simulated long videos"})
    for begin, end in _moments(rng, seconds, _SLOWS, _SLOW):
        angle, (x, y) = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.85, 2)
        field = bumps([(x, y, np.cos(angle), np.sin(angle), 0.1, 0.1)], portrait.shape)
        middle = round((begin + end) / 2 * fps)
        waves.append((round(begin * fps), middle, round(end * fps), rng.uniform(0, motion[1]) * field))
    shut = np.zeros(n_frames)
    for begin, end in _moments(rng, seconds, blinks, _BLINK):
        shut = np.maximum(shut, _wave(n_frames, begin * fps, (0.6 * begin + 0.4 * end) * fps, end * fps))
    head = _head(rng, n_frames, fps, drift)
    light = 3 * np.sin(2 * np.pi * (np.arange(n_frames) / (fps * rng.uniform(10, 40)) + rng.uniform()))
    frames = _frames(rng, portrait, waves, shut, head, light, noise)
    if video:
        _write_mp4(out / f"{name}.mp4", frames, portrait.shape, fps)
    else:
        _write_images(out / name, frames, portrait.shape)
    return rows


def _onsets(rng: np.random.Generator, seconds: float, count: int) -> NDArray[np.float64]:
    """Draw seconds at which so many expressions begin, evenly from all that leave the pauses."""
    step = _EXPRESSION[1] + _PAUSE
    free = seconds - _PAUSE - count * step
    return _PAUSE + np.sort(rng.uniform(0, free, count)) + step * np.arange(count)


def _moments(
    rng: np.random.Generator, seconds: float, in_a_minute: float, length: tuple[float, float]
) -> NDArray[np.float64]:
    """Draw beginnings and ends, in seconds, of things that happen now and then: (n, 2)."""
    begin = rng.uniform(0, seconds, rng.poisson(in_a_minute * seconds / 60))
    return np.stack([begin, begin + rng.uniform(*length, len(begin))], axis=1)


def _wave(n_frames: int, first: float, peak: float, last: float) -> NDArray[np.float64]:
    """Rise from 0 to 1 and fall back to 0, along half waves of a cosine."""
    ramp = np.interp(np.arange(n_frames), [first, peak, last], [0.0, 1.0, 2.0])
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def _head(rng: np.random.Generator, n_frames: int, fps: float, drift: float) -> NDArray[np.float64]:
    """Where the head is in each frame, down and across, in pixels of a frame of 128 x 128: (T, 2)."""
    seconds = np.arange(n_frames) / fps
    head = np.zeros((n_frames, 2))
    for _ in range(3):
        period, phase = rng.uniform(2, 10, 2), rng.uniform(0, 2 * np.pi, 2)
        head += drift / 3 * np.sin(2 * np.pi * seconds[:, None] / period + phase)
    for begin, end in _moments(rng, n_frames / fps, _HEADS, _HEAD):
        turn = rng.uniform(-2 * drift, 2 * drift, 2)
        if rng.uniform() < 0.5:  # and back again
            head += _wave(n_frames, begin * fps, (begin + end) / 2 * fps, end * fps)[:, None] * turn
        else:  # to stay there for a while
            stay = end + rng.uniform(2, 6)
            steps = [begin * fps, end * fps, stay * fps, (stay + end - begin) * fps]
            ramp = np.interp(np.arange(n_frames), steps, [0.0, 1.0, 1.0, 2.0])
            head += (0.5 - 0.5 * np.cos(np.pi * ramp))[:, None] * turn
    return head


def _frames(
    rng: np.random.Generator,
    portrait: NDArray[np.float64],
    waves: list[tuple[int, int, int, NDArray[np.float64]]],
    shut: NDArray[np.float64],
    head: NDArray[np.float64],
    light: NDArray[np.float64],
    noise: float,
) -> Iterator[NDArray[np.uint8]]:
    size = portrait.shape
    scale = np.array(size)[:, None, None] / 128
    grid = np.mgrid[: size[0], : size[1]].astype(float)
    still = ndimage.spline_filter(portrait, order=3, mode="mirror")
    strengths = [_wave(last + 1, first, peak, last) for first, peak, last, _ in waves]
    for t in range(len(shut)):
        moved = np.zeros((2, *size)) + head[t][:, None, None]
        for (first, _, last, field), strength in zip(waves, strengths, strict=True):
            if first < t < last:
                moved += strength[t] * field
        face = still if not shut[t] else ndimage.spline_filter(_blinking(portrait, shut[t]), mode="mirror")
        frame = ndimage.map_coordinates(face, grid - moved * scale, order=3, mode="mirror", prefilter=False)
        frame += light[t] + noise * rng.standard_normal(size, np.float32)
        yield np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def _blinking(portrait: NDArray[np.float64], shut: float) -> NDArray[np.float64]:
    """Draw the lids over the eyes, down to a part of them: skin from above the eye, stretched."""
    height, width = portrait.shape
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    face = portrait.copy()
    for cx, cy in _EYES:
        top = cy - _LID / 2
        inside = np.clip(
            (1 - np.hypot((x - cx) / _EYE[0], (y - cy) / _EYE[1])) * 0.3 * height * _EYE[1], 0, 1
        )
        lid = inside * np.clip((top + shut * _LID - y) * height + 0.5, 0, 1)
        above = ndimage.map_coordinates(
            portrait, [(top - 0.08 * np.abs(y - top)) * height - 0.5, x * width - 0.5], order=1, mode="mirror"
        )
        face += lid * (above - face)
    return face


def _write_images(folder: Path, frames: Iterator[NDArray[np.uint8]], size: tuple[int, ...]) -> None:
    folder.mkdir()
    chroma = [Image.new("L", (size[1], size[0]), level) for level in CHROMA]
    for number, frame in enumerate(frames):
        picture = Image.merge("YCbCr", [Image.fromarray(frame), *chroma])
        picture.save(folder / f"img{number:06d}.jpg", quality=QUALITY)


def _write_mp4(path: Path, frames: Iterator[NDArray[np.uint8]], size: tuple[int, ...], fps: float) -> None:
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        # One thread: with more of them the file, though not its frames, may differ from run to run.
        options = {"preset": "ultrafast", "qp": "0", "threads": "1"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "gray"
        stream.codec_context.color_range = 2  # all of 0 to 255; else readers stretch 16 to 235
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
