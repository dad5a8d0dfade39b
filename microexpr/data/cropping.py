"""From raw video to clips: faces cropped, eyes level, written as images with a manifest."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from PIL import Image, ImageDraw

from .._checks import check_clips, check_new_folder, grey
from .._csv_file import write_csv
from .._extras import require
from .._progress import progress_bar
from ._errors import ClipError, message_of
from ._eyes import Point, align, find_eyes, has_cascades
from ._images import IMAGES
from ._reading import Problem, counted
from ._video_parts import VideoFrames
from .clips import Damaged, check_options, read_clip, read_frames, read_frames_and_digest
from .faces import check_margin, find_face
from .resizing import resize
from .stabilisation import Grey, Stabilise, resample, settle

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cropping", "Placement", "crop_clips", "crop_frames"]

Crop = Literal["face", "eyes"]

_COLUMNS = ("folder", "subject", "emotion", "clip", "dataset", "onset", "apex", "offset", "action_units")
_PLACED = (
    "aligned_by",
    "left_eye_x",
    "left_eye_y",
    "right_eye_x",
    "right_eye_y",
    "top",
    "left",
    "height",
    "width",
)
_SEARCHED = 7  # frames of a clip; eyes are shut in some
_AGREEING = 2  # of them, at least, with both eyes
_THUMB = 96  # pixels
_PAIRS = 8  # of thumbnails in a row of a contact sheet
_ROWS = 25


class Placement(NamedTuple):
    """Where a clip's face lies in its frames.

    Attributes
    ----------
    box : (top, left, height, width)
        The face's, in pixels.
    eyes : ((x, y), (x, y)) or None
        Centres of the eyes, the one on the left of the picture first, in pixels from its upper left corner;
        None where they were not looked for or not found.
    n_found, n_searched : int
        In how many frames both eyes were found, and in how many they were looked for.
    """

    box: tuple[int, int, int, int]
    eyes: tuple[Point, Point] | None
    n_found: int
    n_searched: int

    def __str__(self) -> str:
        if self.eyes is not None:
            return "eyes"
        return f"box: eyes in {self.n_found} of {self.n_searched} frames" if self.n_searched else "box"


@dataclass(frozen=True, eq=False)
class Cropping:
    """What `crop_clips` returns; as text, the report of it.

    Attributes
    ----------
    manifest : Path
        The CSV file that `microexpr.data.read_manifest` reads.
    sheets : list of Path
        Contact sheets: each clip's first and last frame.
    placements : list of Placement
        Where the faces of the clips written lie.
    problems : list of Problem
        Why the other clips could not be cropped, one for each.
    """

    manifest: Path
    sheets: list[Path]
    placements: list[Placement]
    problems: list[Problem]

    def __str__(self) -> str:
        by_eyes = sum(placement.eyes is not None for placement in self.placements)
        by_box = len(self.placements) - by_eyes
        lines = [f"{self.manifest}: {counted(len(self.placements), 'clip')}, {by_eyes} aligned by the eyes"]
        if by_box:
            looked = any(placement.n_searched for placement in self.placements)
            why = "no eyes found" if looked else "eyes not looked for; they need microexpr[eyes]"
            lines[0] += f", {by_box} cropped to the face's box ({why}; column aligned_by)"
        if self.problems:
            lines += [f"{counted(len(self.problems), 'clip')} could not be cropped:"]
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def crop_clips(
    source: pd.DataFrame | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: tuple[int, int] = (128, 128),
    margin: float = 0.1,
    eyes: bool | None = None,
    eyes_at: tuple[float, float] = (0.31, 0.36),
    n_frames: int | None = None,
    damaged: Damaged = "raise",
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> Cropping:
    """Crop the faces of clips, and write them as images with a manifest.

    All frames of a clip are cut out in the same way: turned, scaled and moved so that its eyes are level and
    at fixed places; or, where eyes are not found, cut to the face's box and resized, as `read_clip` does.
    What moves within a clip is left to `microexpr.data.stabilise`.

    Parameters
    ----------
    source : pandas.DataFrame or path
        Clips, as the readers of `microexpr.data` return them; or one video, or folder of frames.
    out : path
        Folder to write into; made if it is not there, and refused if it holds anything. Frames go to
        ``out/subSUBJECT/CLIP/reg_imgN.png``, N from 1; what `read_manifest` takes to ``out/manifest.csv``,
        which comes last: a folder without one is a run that did not end. ``out/contact_sheet.png``, and
        further ones for many clips, show the first and last frame of each and where the eyes should be.
    size : (int, int)
        Height and width of the images, in pixels.
    margin : float
        As in `read_clip`, where a clip is cut to the face's box.
    eyes : bool, optional
        Look for eyes (needs the ``eyes`` extra), or do not. By default if the extra is there.
    eyes_at : (float, float)
        Where the eye on the left of the picture comes to lie, across and down, as fractions of width and
        height; the other eye is its mirror image.
    n_frames : int, optional
        Resample each clip in time to this many frames, as `microexpr.data.resample` does.
    damaged : {"raise", "keep"}
        Of one video, as in `read_clip`.
    n_jobs : int, optional
        Number of threads, as in joblib; -1 uses every core. Each holds a clip at full size.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    Cropping
        Where the manifest is, and why clips could not be cropped: a bad one stops no other.

    Raises
    ------
    FileExistsError
        If `out` is not empty.
    ValueError
        If an option is wrong, or no clip could be cropped.
    ModuleNotFoundError
        If an extra is needed and not installed.

    Examples
    --------
    >>> import tempfile
    >>> from microexpr.data import crop_clips, read_manifest
    >>> from skimage import data
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clip = Path(folder, "anna")
    ...     clip.mkdir()
    ...     for number in (1, 2):
    ...         Image.fromarray(data.astronaut()).save(clip / f"{number}.png")
    ...     cropped = crop_clips(clip, Path(folder, "out"), progress=False)
    ...     read_manifest(cropped.manifest)[["subject", "clip", "onset", "offset"]]
      subject  clip onset offset
    0    anna  anna     1      2
    """
    looks = _check(size, margin, eyes, eyes_at, n_frames, damaged)
    effective_n_jobs(n_jobs)  # raises here what `Parallel` would raise after the folder was made
    rows = _rows(source)
    out = Path(out)
    check_new_folder(out, "crop")
    out.mkdir(parents=True, exist_ok=True)
    folders = list(_folders(rows))
    options = {"size": size, "margin": margin, "eyes": looks, "eyes_at": eyes_at, "n_frames": n_frames}
    options["damaged"] = damaged
    jobs = (delayed(_crop)(row, out / folder, options) for row, folder in zip(rows, folders, strict=True))
    work = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    problems: list[Problem] = []
    cells: list[dict[str, Any]] = []
    done: list[_Cropped] = []
    with closing(work):
        results = progress_bar(work, "crop", len(rows), "clip", progress)
        for row, folder, result in zip(rows, folders, results, strict=True):
            if isinstance(result, str):
                problems.append(Problem("clip", f"clip {row['subject']}/{row['clip']}", result))
            else:
                done.append(result)
                cells.append(_cells(row, folder, result))
    if not done:
        raise ValueError(
            f"no clip could be cropped; the first: {problems[0]}" if problems else "there are no clips"
        )
    page = _PAIRS * _ROWS
    sheets = [
        _sheet(out, 1 + start // page, done[start : start + page], eyes_at)
        for start in range(0, len(done), page)
    ]
    manifest = out / "manifest.csv"
    _write_manifest(manifest, cells)
    return Cropping(manifest, sheets, [clip.placement for clip in done], problems)


def crop_frames(
    frames: Grey,
    *,
    size: tuple[int, int] = (128, 128),
    margin: float = 0.1,
    eyes: bool | None = None,
    eyes_at: tuple[float, float] = (0.31, 0.36),
) -> tuple[Grey, Placement]:
    """Cut the face out of all frames of a clip in the same way, by its eyes or by its box.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width), uint8
        Grey frames.
    size, margin, eyes, eyes_at
        As in `crop_clips`.

    Returns
    -------
    ndarray of shape (T, height, width) as `size` says, uint8, and Placement
        What lies beyond the frames repeats the nearest pixel at the border.

    Raises
    ------
    ClipError
        If there are no frames, or no face in them.
    ModuleNotFoundError
        If an extra is needed and not installed.
    ValueError
        If an option is wrong, or the frames are not grey.
    TypeError
        If the frames are not of uint8, or masked.

    Examples
    --------
    >>> from skimage import data
    >>> from microexpr.data import crop_frames
    >>> cropped, placement = crop_frames(data.astronaut()[None, :, :, 1], size=(140, 120), eyes=False)
    >>> cropped.shape, str(placement)
    ((1, 140, 120), 'box')
    """
    looks = _check(size, margin, eyes, eyes_at)
    frames = grey(frames)
    if not len(frames):
        raise ClipError("the clip has no frames")
    placement = _place(frames, margin, looks)
    if placement.eyes is None:
        top, left, height, width = placement.box
        cut = (frame[top : top + height, left : left + width] for frame in frames)
        return np.stack([resize(np.ascontiguousarray(part), size) for part in cut]), placement
    return align(frames, placement.eyes, size, eyes_at), placement


def read_cropped(
    frames: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int],
    crop: Crop,
    stabilise: Stabilise | None = None,
    blur: float | None = None,
    n_frames: int | None = None,
) -> tuple[Grey, bytes]:
    """Read a clip's frames as `read_frames_and_digest` does, with its face cut out as `crop_frames` does."""
    if isinstance(frames, VideoFrames):
        frames = replace(frames, face=False)  # the face is looked for here
    whole, content = read_frames_and_digest(frames, None)
    return settle(crop_as(whole, size, crop), stabilise, blur, n_frames), content


def crop_as(frames: Any, size: tuple[int, int], crop: Crop) -> Any:
    """Cut a clip's face out by its box or its eyes."""
    return crop_frames(frames, size=size, eyes=crop == "eyes")[0]


def check_crop(crop: Any) -> None:
    """Raise a ValueError unless it is None, "face" or "eyes"."""
    if crop is not None and not (isinstance(crop, str) and crop in ("face", "eyes")):
        raise ValueError(f'crop is {crop!r}; it must be "face", "eyes" or None')


class _Cropped(NamedTuple):
    title: str
    placement: Placement
    n_frames: int  # written
    thumbs: tuple[Image.Image, Image.Image]


def _check(
    size: Any, margin: Any, eyes: Any, eyes_at: Any, n_frames: Any = None, damaged: Any = "raise"
) -> bool:
    """Raise what is wrong with the options, or return whether to look for eyes."""
    check_options(None, n_frames, size, damaged=damaged)
    if size is None:
        raise ValueError("size is None; it must be (height, width) in pixels")
    check_margin(margin)
    if (
        np.shape(eyes_at) != (2,)
        or not all(isinstance(value, Real) and 0 < float(value) < 1 for value in eyes_at)
        or not eyes_at[0] < 0.5
    ):
        raise ValueError(
            f"eyes_at is {eyes_at!r}; it must be (across, down), across below 0.5 and down below 1"
        )
    require("cropping faces", "face")
    if eyes:
        require("finding eyes", "eyes")
    return has_cascades() if eyes is None else bool(eyes)


def _rows(source: Any) -> list[Mapping[str, Any]]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        if path.is_file() and path.suffix.lower() not in IMAGES:
            require("reading a video", "video")
        name = path.resolve().stem if path.is_file() else path.resolve().name
        row = {"dataset": name, "subject": name, "clip": name, "emotion": "unknown", "frames": path}
        return [{**row, "onset": None, "apex": None, "offset": None, "action_units": ""}]
    check_clips(source, ("dataset", "subject", "clip", "emotion", "frames"), "source")
    return source.to_dict("records")


def _folders(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a folder for each clip, as CASME II names them, all different and fit for any file system."""
    taken: set[str] = set()
    for row in rows:
        subject, clip = (
            re.sub(r"[^\w.-]+", "_", str(row[name])).strip(".") or "_" for name in ("subject", "clip")
        )
        folder, number = f"sub{subject}/{clip}", 1
        while folder.lower() in taken:
            number += 1
            folder = f"sub{subject}/{clip}_{number}"
        taken.add(folder.lower())
        yield folder


def _crop(row: Mapping[str, Any], folder: Path, options: dict[str, Any]) -> _Cropped | str:
    """Crop one clip into its folder, or say what is wrong with it."""
    given = row["frames"]
    try:
        if isinstance(given, Path):
            frames = read_clip(given, size=None, face=False, damaged=options["damaged"], progress=False)
        else:
            if isinstance(given, VideoFrames):
                given = replace(given, face=False)  # the face is looked for below
            frames = read_frames(given, None, progress=False)
        n_frames = options["n_frames"]
        looked = {name: value for name, value in options.items() if name not in ("n_frames", "damaged")}
        cropped, placement = crop_frames(frames, **looked)
        cropped = cropped if n_frames is None else resample(cropped, n_frames)
    except Exception as error:
        return message_of(error)
    # All frames or none: a folder gets its name when they are there.
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True)
    try:
        for number, frame in enumerate(cropped, start=1):
            Image.fromarray(frame).save(partial / f"reg_img{number}.png")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    title = f"{row['subject']}/{row['clip']}"
    thumbs = [Image.fromarray(frame).resize((_THUMB, _THUMB)) for frame in (cropped[0], cropped[-1])]
    return _Cropped(title, placement, len(cropped), (thumbs[0], thumbs[1]))


def _place(frames: Grey, margin: float, eyes: bool) -> Placement:
    searched = [frames[t] for t in dict.fromkeys(np.linspace(0, len(frames) - 1, _SEARCHED).astype(int))]
    try:
        box = find_face(searched, margin)
    except ClipError:
        raise ClipError(f"no face found in the {len(searched)} frames searched") from None
    found = []
    for frame in searched if eyes else []:
        try:
            found.append(find_eyes(frame, find_face([frame], 0)))
        except ClipError:
            found.append(None)
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < min(_AGREEING, len(searched)) or not pairs:
        return Placement(box, None, len(pairs), len(found))
    (x0, y0), (x1, y1) = np.median(pairs, axis=0)
    return Placement(box, ((float(x0), float(y0)), (float(x1), float(y1))), len(pairs), len(found))


def _cells(row: Mapping[str, Any], folder: str, clip: _Cropped) -> dict[str, Any]:
    """Cells of the manifest: a clip's coding, its frames numbered from 1, and how it was cropped."""
    cells: dict[str, Any] = {name: row.get(name, "") for name in _COLUMNS}
    cells |= {"folder": folder, "onset": 1, "offset": clip.n_frames, "apex": ""}
    try:
        onset, apex, offset = (int(row[name]) for name in ("onset", "apex", "offset"))
    except (KeyError, TypeError, ValueError):  # not coded
        pass
    else:
        cells["apex"] = 1 + round((apex - onset) / max(1, offset - onset) * (clip.n_frames - 1))
    top, left, height, width = clip.placement.box
    cells |= {"aligned_by": str(clip.placement), "top": top, "left": left, "height": height, "width": width}
    if clip.placement.eyes is not None:
        (x0, y0), (x1, y1) = clip.placement.eyes
        values = (x0, y0, x1, y1)
        cells |= {name: round(value, 1) for name, value in zip(_PLACED[1:5], values, strict=True)}
    return cells


def _write_manifest(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    write_csv(partial, rows, (*_COLUMNS, *_PLACED))
    partial.replace(path)


def _sheet(out: Path, page: int, clips: list[_Cropped], eyes_at: tuple[float, float]) -> Path:
    """Write the first and last frame of each clip side by side, eight clips in a row.

    Green: aligned by the eyes, which should lie on the crosses; red: cropped to the face's box.
    """
    n_rows, pairs = -(-len(clips) // _PAIRS), min(_PAIRS, len(clips))
    wide, high = 2 * (_THUMB + 4), _THUMB + 20
    sheet = Image.new("RGB", (pairs * wide, n_rows * high), "white")
    draw = ImageDraw.Draw(sheet)
    for k, clip in enumerate(clips):
        x, y = k % _PAIRS * wide + 2, k // _PAIRS * high + 2
        colour = "green" if clip.placement.eyes is not None else "red"
        for left, thumb in zip((x, x + wide // 2), clip.thumbs, strict=True):
            sheet.paste(thumb, (left, y))
            draw.rectangle((left - 1, y - 1, left + _THUMB, y + _THUMB), outline=colour)
            for across in (eyes_at[0], 1 - eyes_at[0]) if colour == "green" else ():
                cx, cy = left + across * _THUMB, y + eyes_at[1] * _THUMB
                draw.line((cx - 3, cy, cx + 3, cy), fill=colour)
                draw.line((cx, cy - 3, cx, cy + 3), fill=colour)
        draw.text((x, y + _THUMB + 3), clip.title.encode("ascii", "replace").decode()[:30], fill="black")
    path = out / f"contact_sheet{f'_{page}' * (page > 1)}.png"
    partial = path.with_name(f"{path.name}.partial")
    sheet.save(partial, format="PNG")
    partial.replace(path)
    return path
