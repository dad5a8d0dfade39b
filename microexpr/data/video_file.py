"""A video file's frames, its face, and what is damaged in it."""

from __future__ import annotations

import warnings
from collections.abc import Container, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._progress import progress_bar
from .._wording import option
from ._errors import ClipError
from ._images import LARGEST_VIDEO, Box, check_file, check_length
from ._videos import reason_of, shown_frames, survey_video, what_is_cut_off
from .faces import face_of
from .resizing import resize

__all__ = ["VideoFile", "read_video"]


def read_video(
    path: Path,
    size: tuple[int, int] | None,
    face: bool,
    margin: float,
    progress: bool | None,
    *,
    keep: bool = False,
    part: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Read all frames of a video, or of a part of it; see `read_clip` and `VideoFile`."""
    video = VideoFile(path, keep=keep, part=part)
    box = video.find_face(margin) if face else None
    frames: list[NDArray[np.uint8]] = []
    for frame in video.frames(size, box, progress):
        frames.append(frame)
        if len(frames) == 1:
            check_length(path, min(video.count, video.packets), frame)
    return np.stack(frames)


class VideoFile:
    """A video file that is read: what is damaged in it, where its face is, its frames.

    `keep` says to go on where it is damaged, and to warn at its end; `part` which frames are the clip, first
    and last, or None.
    """

    def __init__(self, path: Path, *, keep: bool = False, part: tuple[int, int] | None = None) -> None:
        self.path, self.keep, self.part = path, keep, part
        self.first = 0 if part is None else part[0]
        self.stop = None if part is None else part[1] + 1
        self.found: list[str] = []
        check_file(path, LARGEST_VIDEO, "videos")
        with self._as_clip_error():
            self.packets = survey_video(path, self._damage)
        self.count = self.packets if self.stop is None else self.stop - self.first

    def find_face(self, margin: float, among: int | None = None) -> Box:
        """Find the largest face in about five frames, spread over it, or over its first `among` frames."""
        every = max(1, min(self.count, among or self.count) // 4)
        # Decoded twice rather than kept: a long video at full size does not fit in memory.
        with self._as_clip_error(), closing(shown_frames(self.path, self._damage)) as shown:
            return face_of(self.path, islice(islice(shown, self.first, self.stop), 0, among, every), margin)

    def frames(
        self,
        size: tuple[int, int] | None,
        box: Box | None,
        progress: bool | None,
        *,
        again: bool = False,
        needed: Container[int] | None = None,
    ) -> Generator[NDArray[np.uint8], None, None]:
        """Decode the frames one after the other, cut the box out of each and resize that.

        `again` says that they were decoded before, and damage was found then: on all cores. Of those that are
        not `needed`, by their number in the file, one of no pixels is given.
        """
        read = 0
        shape: tuple[int, ...] | None = None
        with (
            self._as_clip_error(),
            closing(shown_frames(self.path, self._damage, threads=0 if again else 1, needed=needed)) as shown,
        ):
            wanted = islice(shown, self.first, self.stop)
            for frame in progress_bar(wanted, "read", self.count or None, "frame", progress, leave=False):
                if not frame.size:
                    read += 1
                    yield frame
                    continue
                shape = shape or frame.shape
                if frame.shape != shape and (box is not None or size is None):
                    sizes = f"{shape[0]} x {shape[1]} to {frame.shape[0]} x {frame.shape[1]} pixels"
                    raise ClipError(f"{self.path} changes from {sizes} after {read} frames")
                read += 1
                yield _crop(frame, box, size)
        if self.stop is not None and read < self.stop - self.first:
            raise ClipError(f"{self.path} has {read} of the frames {self.first} to {self.stop - 1}")
        if not read:
            raise ClipError(f"{self.path} has no video frames")
        if self.found:
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            kept = f"its {read} frames are kept, as {option('damaged', 'keep')} says"
            warnings.warn(f"{self.path} {self.found[0]}{more}; {kept}", UserWarning, stacklevel=4)

    def _damage(self, what: str) -> None:
        if not self.keep:
            unreadable = what if what.startswith("ends early") else f"is not a readable video: it {what}"
            remedy = "" if self.part else f"; {option('damaged', 'keep')} reads what is there"
            raise ClipError(f"{self.path} {unreadable}{remedy}")
        if what not in self.found:
            self.found.append(what)

    @contextmanager
    def _as_clip_error(self) -> Iterator[None]:
        try:
            yield
        except (ClipError, ModuleNotFoundError):
            raise
        except IndexError as error:
            raise ClipError(f"{self.path} is not a readable video: it has no pictures in it") from error
        except Exception as error:  # PyAV's are of many kinds; those of Python about hostile headers too
            cut = what_is_cut_off(self.path)
            reason = f"it {cut}" if cut else reason_of(error)
            raise ClipError(f"{self.path} is not a readable video: {reason}") from error


def _crop(frame: NDArray[np.uint8], box: Box | None, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if box is not None:
        top, left, height, width = box
        frame = frame[top : top + height, left : left + width]
    return np.array(frame) if size is None else resize(frame, size)
