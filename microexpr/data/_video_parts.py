"""Parts of video files: which frames a clip is, and when each frame of a video is shown."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .._extras import require
from ._images import LARGEST_VIDEO, check_file
from ._videos import open_video


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video file: what `read_frames` takes in place of a list of images.

    Attributes
    ----------
    path : Path
        The video file.
    first, last : int
        Frames, counted from 0 in the order in which they are shown, both in the clip.
    face : bool
        Whether to crop them to the largest face in them, as `read_clip` does.

    Examples
    --------
    >>> from pathlib import Path
    >>> from microexpr.data import VideoFrames
    >>> len(VideoFrames(Path("anna.mp4"), 100, 149))
    50
    """

    path: Path
    first: int
    last: int
    face: bool = True

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def part(self) -> bytes:
        """What tells it from other parts of the same file."""
        return f"{self.first} {self.last} {self.face}\n".encode()


def length_and_crc(file: IO[bytes]) -> bytes:
    """Length (8 bytes) and CRC-32 (4 bytes) of what a file holds, little-endian."""
    length = crc = 0
    while data := file.read(1 << 20):
        length, crc = length + len(data), zlib.crc32(data, crc)
    return length.to_bytes(8, "little") + crc.to_bytes(4, "little")


def video_length_and_crc(path: str | os.PathLike[str]) -> bytes:
    """Return those of a video, read once while its size and time stay: it has many clips."""
    check_file(path, LARGEST_VIDEO, "videos")
    status = os.stat(path)
    return _video_length_and_crc(os.fspath(path), status.st_size, status.st_mtime_ns)


def announced_frames(path: str | os.PathLike[str]) -> int:
    """How many frames a video says it has; counted, which reads all of it, where it says nothing."""
    require("a video in a manifest", "video")
    with open_video(Path(path)) as container:
        announced = container.streams.video[0].frames
    return announced or len(frame_times(path))


def frame_times(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """When each frame of a video is shown, in seconds from the first, in order; nothing is decoded."""
    require("a video in a manifest", "video")
    status = os.stat(path)
    return _frame_times(os.fspath(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _video_length_and_crc(path: str, size: int, time: int) -> bytes:
    with open(path, "rb") as file:
        return length_and_crc(file)


@lru_cache(maxsize=256)
def _frame_times(path: str, size: int, time: int) -> NDArray[np.float64]:
    with open_video(Path(path)) as container:
        stream = container.streams.video[0]
        stamps = [  # and not the packets, which hold the whole file
            packet.dts if packet.pts is None else packet.pts
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard
        ]
        if any(stamp is None for stamp in stamps):
            return np.arange(len(stamps)) / float(stream.average_rate or 25)
        times = np.sort(np.array(stamps, dtype=float)) * float(stream.time_base or 1)
    return times - times[:1]
