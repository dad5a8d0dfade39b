"""Micro-expressions in a long video that is read frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._wording import option
from ..data import ClipError, FrameStream
from .events import Event
from .spotter import Classifies, Spotting, check_model, classified, spot


@dataclass(frozen=True, eq=False, repr=False)
class VideoSpotting:
    """What `spot_video` returns.

    Attributes
    ----------
    path : Path
        The video's.
    spotting : Spotting
        Events, the curve and its threshold.
    thumbnails : list of ndarray of shape (3, height, width), uint8
        Of each event the frames at onset, apex and offset, where they were asked for; else empty.
    """

    path: Path
    spotting: Spotting
    thumbnails: list[NDArray[np.uint8]]

    def __repr__(self) -> str:
        return f"VideoSpotting({str(self.path)!r}, {self.spotting!r})"


def spot_video(
    stream: FrameStream,
    *,
    fps: float | None = None,
    model: Classifies | None = None,
    thumbnails: bool = False,
    **options: Any,
) -> VideoSpotting:
    """Spot micro-expressions in a video that is read frame by frame: memory does not grow with its length.

    But for the curve: 16 bytes a frame. With a model or for thumbnails the events' frames are read in a
    second pass.

    Parameters
    ----------
    stream : FrameStream
        From `microexpr.data.stream_clip`.
    fps : float, optional
        Frames in a second; by default the video's own.
    model : optional
        With a method ``classify``, as `microexpr.Recogniser`.
    thumbnails : bool
        Whether to keep three frames of each event.
    **options
        Those of `SpottingOptions`.

    Returns
    -------
    VideoSpotting

    Raises
    ------
    ClipError
        As the frames are read: see `stream_clip`; or if the video is too short.
    ValueError
        If nothing says how many frames a second has, or an option is out of range.
    """
    check_model(model)
    fps = stream.fps if fps is None else fps
    if fps is None:
        raise ValueError(
            f"{stream.path}: nothing says how many frames a second has; say it with {option('fps', ...)}"
        )
    try:
        spotting = spot(iter(stream), fps, full_output=True, **options)
    except ClipError as error:
        where = "" if str(stream.path) in str(error) else f"{stream.path}: "
        raise ClipError(f"{where}{error}") from error
    events, shown = spotting.events, []
    if events and (model is not None or thumbnails):
        said: list[Event] = []
        wanted = [(event.onset, event.offset) for event in events]
        for event, frames in zip(events, stream.ranges(wanted), strict=True):
            if thumbnails:
                shown.append(frames[[0, event.apex - event.onset, -1]])
            if model is not None:
                event = event._replace(classification=classified(model, frames))
            said.append(event)
        spotting = Spotting(said, spotting.contrast, spotting.threshold, spotting.k, spotting.fps)
    return VideoSpotting(stream.path, spotting, shown)
