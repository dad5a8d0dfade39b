"""Data sets of long videos: whole videos with the expressions coded in them, spotted and scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed

from .._checks import is_positive
from .._progress import progress_bar
from .._wording import option
from ..data import Problem, VideoFrames, image_paths, stream_clip
from ..data._errors import message_of
from .options import SpottingOptions
from .scores import Frames, SpottingScores, spotting_scores
from .video import VideoSpotting, spot_video

if TYPE_CHECKING:
    import pandas as pd

#: Frames in a second of the data sets whose long videos are folders of images, by their names in a table.
FPS = {
    "CAS(ME)2": 30.0,
    "CAS(ME)3": 30.0,
    "SAMM-LV": 200.0,
    "SMIC-E-HS": 100.0,
    "SMIC-E-VIS": 25.0,
    "SMIC-E-NIR": 25.0,
}


@dataclass(frozen=True)
class LongVideo:
    """A long video, and the expressions that are coded in it.

    Attributes
    ----------
    name : str
        Subject and folder or file; of several that are called the same, the path as well.
    source : Path or list of Path
        The video file, or all images of the folder in order.
    fps : float or None
        Frames in a second; None of a video file, which says it itself.
    coded : list of (int, int)
        Onset and offset of each expression, counted from 0 in the order of `source`, both ends included.
    face : bool
        Whether to crop the frames to the face.
    """

    name: str
    source: Path | list[Path]
    fps: float | None
    coded: list[Frames]
    face: bool


@dataclass(frozen=True, eq=False, repr=False)
class SpottedDataset:
    """What `spot_dataset` returns.

    Attributes
    ----------
    videos : list of LongVideo
        Those that could be read,
    spotted : list of VideoSpotting
        what was spotted in each of them,
    scores : SpottingScores
        and how much of it is right.
    problems : list of Problem
        Why the other videos could not be read, one for each.
    """

    videos: list[LongVideo]
    spotted: list[VideoSpotting]
    scores: SpottingScores
    problems: list[Problem]

    def __repr__(self) -> str:
        """Say the scores, not the videos."""
        total = self.scores.total
        return (
            f"SpottedDataset({len(self.videos)} videos, F1 {total.f1:.3f}, precision {total.precision:.3f}, "
            f"recall {total.recall:.3f}, {len(self.problems)} problems)"
        )


def long_videos(
    table: pd.DataFrame, *, fps: float | None = None, others: pd.DataFrame | None = None
) -> list[LongVideo]:
    """Group a table of expressions by the long videos that they are in.

    Parameters
    ----------
    table : pandas.DataFrame
        As `read_casme_sq`, `read_samm_lv`, `read_smic_e` or `read_manifest` returns it: one row an
        expression, whose ``frames`` are in the folder, or the file, that is the whole video.
    fps : float, optional
        Frames in a second of folders; by default what `FPS` has for the data set.
    others : pandas.DataFrame, optional
        A further table, whose videos are taken in too, and whose expressions are not: so that videos with
        macro-expressions only, in which nothing should be spotted, count.

    Returns
    -------
    list of LongVideo
        In the order of the table.

    Raises
    ------
    ValueError
        If nothing says how many frames in a second a folder has, or `fps` is not positive.
    """
    if fps is not None and not is_positive(fps):
        raise ValueError(f"{option('fps')} is {fps!r}; it must be a positive number of frames in a second")
    videos: dict[Path, LongVideo] = {}
    places: dict[Path, dict[Path, int]] = {}
    for coded, rows in ((True, table), (False, others)):
        for row in rows.to_dict("records") if rows is not None else []:
            frames = row["frames"]
            path = frames.path if isinstance(frames, VideoFrames) else frames[0].parent
            if path not in videos:
                videos[path] = _video(row, path, fps)
                source = videos[path].source
                places[path] = (
                    {} if isinstance(source, Path) else {image: t for t, image in enumerate(source)}
                )
            if not coded:
                continue
            if isinstance(frames, VideoFrames):
                videos[path].coded.append((frames.first, frames.last))
            else:
                videos[path].coded.append((places[path][frames[0]], places[path][frames[-1]]))
    names = Counter(video.name for video in videos.values())
    return [
        video if names[video.name] == 1 else replace(video, name=f"{video.name} ({path})")
        for path, video in videos.items()
    ]


def spot_dataset(
    videos: Sequence[LongVideo], *, n_jobs: int | None = -1, progress: bool | None = None, **options: Any
) -> SpottedDataset:
    """Spot in every video of a data set, and score what was found.

    Parameters
    ----------
    videos : sequence of LongVideo
        From `long_videos`.
    n_jobs : int, optional
        Number of threads, each for one video; -1 uses every core.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.
    **options
        Those of `SpottingOptions`.

    Returns
    -------
    SpottedDataset
        A video that cannot be read stops no other, and has no part in the scores.

    Raises
    ------
    ValueError
        If an option is out of range, two videos have one name, or no video can be read.
    """
    SpottingOptions(**options)
    twice = [name for name, count in Counter(video.name for video in videos).items() if count > 1]
    if twice:
        raise ValueError(f"two videos are called {twice[0]}; names must differ, because scores are by them")
    jobs = (delayed(_spotted)(video, options) for video in videos)
    done = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)
    results = list(progress_bar(done, "spot", len(videos), "video", progress))
    read = [
        (video, result) for video, result in zip(videos, results, strict=True) if not isinstance(result, str)
    ]
    problems = [
        Problem("clip", video.name, result)
        for video, result in zip(videos, results, strict=True)
        if isinstance(result, str)
    ]
    if not read:
        raise ValueError(f"none of the {len(videos)} videos could be read; the first: {problems[0]}")
    scores = spotting_scores(
        {video.name: result.spotting.events for video, result in read},
        {video.name: video.coded for video, _ in read},
    )
    return SpottedDataset([video for video, _ in read], [result for _, result in read], scores, problems)


def _video(row: dict[str, Any], path: Path, fps: float | None) -> LongVideo:
    name = f"{row['subject']}/{path.stem if isinstance(row['frames'], VideoFrames) else path.name}"
    if isinstance(row["frames"], VideoFrames):
        return LongVideo(name, path, None, [], row["frames"].face)
    rate = fps or FPS.get(str(row["dataset"]))
    if rate is None:
        raise ValueError(
            f"{path} is a folder of {row['dataset']}, of which nothing says how many frames a second has; "
            f"say it with {option('fps', ...)}"
        )
    return LongVideo(name, image_paths(path), rate, [], False)


def _spotted(video: LongVideo, options: dict[str, Any]) -> VideoSpotting | str:
    try:
        stream = stream_clip(video.source, face=video.face, progress=False)
        return spot_video(stream, fps=video.fps, **options)
    except Exception as error:
        return message_of(error)
