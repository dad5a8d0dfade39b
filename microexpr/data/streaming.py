"""Frames of a long video one after the other, from a file or a folder: never all of them in memory."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray

from .._extras import require
from .._progress import progress_bar
from ._errors import ClipError
from ._images import IMAGES, Box, decode_image, open_file
from ._videos import open_video
from .clips import Damaged, check_options, image_paths
from .faces import check_margin, face_of
from .video_file import VideoFile

__all__ = ["FrameStream", "stream_clip"]

_AT_A_TIME, _AHEAD = 32, 4  # frames that are handed over at a time, and how many times ahead
# Seconds at the beginning of a video that a face is looked for in: to decode all of it takes as long again.
_SEARCHED = 10


class FrameStream:
    """Frames of a long video, which are read as they are asked for; `stream_clip` makes it.

    Iterating gives the frames (height, width) of uint8, and reads them from the beginning each time.

    Attributes
    ----------
    path : Path
    count : int
        How many frames there are; of a video, packets that hold something.
    fps : float or None
        Frames in a second on average, as the video says; None of a folder.
    uneven : bool
        Whether the video says that its frames are not evenly spaced.
    whole : bool
        Whether the frames have been read to the end once.
    box : (top, left, height, width) or None
        The face that the frames are cropped to.
    """

    def __init__(
        self,
        source: VideoFile | Sequence[Path],
        path: Path,
        size: tuple[int, int] | None,
        box: Box | None,
        progress: bool | None,
    ) -> None:
        self._source, self.path, self.size, self.box, self.progress = source, path, size, box, progress
        self.fps: float | None = None
        self.uneven, self.whole = False, False
        if isinstance(source, VideoFile):
            self.count = source.count
            self.fps, self.uneven = _rate(path)
        else:
            self.count = len(source)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if isinstance(self._source, VideoFile):
            yield from _ahead(self._source.frames(self.size, self.box, self.progress))
        else:
            yield from _ahead(self._images(self._source))
        self.whole = True

    def ranges(self, wanted: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.uint8]]:
        """Read the frames of each (first, last), both in it: (n, height, width); in order of their first."""
        if not isinstance(self._source, VideoFile):
            for first, last in wanted:
                yield np.stack(list(self._images(self._source[first : last + 1], hidden=True)))
            return
        open_ranges: list[tuple[int, int, list[NDArray[np.uint8]]]] = []
        ahead = list(wanted)
        needed = {t for first, last in wanted for t in range(first, last + 1)}
        again = self.whole and not self._source.keep  # what conceals damage may do so in another way
        for t, frame in enumerate(
            _ahead(self._source.frames(self.size, self.box, self.progress, again=again, needed=needed))
        ):
            while ahead and ahead[0][0] == t:
                open_ranges.append((*ahead.pop(0), []))
            for _, last, frames in open_ranges:
                if t <= last:
                    frames.append(frame)
            while open_ranges and open_ranges[0][1] <= t:
                yield np.stack(open_ranges.pop(0)[2])
            if not ahead and not open_ranges:
                return

    def _images(
        self, paths: Sequence[Path], hidden: bool = False
    ) -> Generator[NDArray[np.uint8], None, None]:
        shape: tuple[int, ...] | None = None
        bar = progress_bar(
            paths, "read", len(paths), "frame", False if hidden else self.progress, leave=False
        )
        for path in bar:
            with open_file(path) as file:
                pages = decode_image(file, path, box=self.box, size=self.size)
            if pages.n_pages > 1:
                raise ClipError(
                    f"{path} has {pages.n_pages} pages; a long video is a folder of one image a frame"
                )
            if pages.bits:  # how many of them are used is known only when all frames are
                raise ClipError(f"{path} has 16 bits a pixel; frame by frame, images of 8 bits are read")
            (frame,) = pages.frames
            if shape is not None and frame.shape != shape:
                raise ClipError(
                    f"{path} is {frame.shape[0]} x {frame.shape[1]} pixels; those before are "
                    f"{shape[0]} x {shape[1]}"
                )
            shape = frame.shape
            yield frame


def stream_clip(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    size: tuple[int, int] | None = (128, 128),
    face: bool | None = None,
    margin: float = 0.1,
    damaged: Damaged = "raise",
    progress: bool | None = None,
) -> FrameStream:
    """Open a long video, a file or a folder of images, to be read frame by frame.

    Frames, damage and parameters are those of `read_clip`: the face is looked for once, in about five frames
    spread over the folder or the first ten seconds of a video, and all frames are cropped to its box. Damage
    is found as the frames are read: before the first (a file that was cut short), or in the middle. Image
    files of several pages or of 16 bits are a ClipError here.

    Parameters
    ----------
    path : path or sequence of path
        A video file or a folder of images; or image files in order.
    size, face, margin, damaged, progress
        As for `read_clip`.

    Returns
    -------
    FrameStream

    Raises
    ------
    FileNotFoundError, ClipError, ModuleNotFoundError, ValueError
        As for `read_clip`.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from microexpr.data import stream_clip
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(3):
    ...         Image.new("L", (40, 30), 10 * number).save(f"{folder}/{number}.png")
    ...     stream = stream_clip(folder, size=None)
    ...     print(stream.count, [int(frame[0, 0]) for frame in stream])
    3 [0, 10, 20]
    """
    check_options(None, None, size, damaged=damaged)
    check_margin(margin)
    if not isinstance(path, str | os.PathLike):
        paths = [Path(image) for image in path]
        if not paths:
            raise ClipError("the clip has no frames")
        folder = paths[0].parent
    else:
        folder = Path(path)
        if not folder.exists():
            raise FileNotFoundError(f"{folder}: no such file or folder")
        if not folder.is_dir():
            if folder.suffix.lower() in IMAGES:
                raise ClipError(f"{folder} is an image; a long video is a video file or a folder of images")
            return _stream_video(folder, size, face is None or face, margin, damaged, progress)
        paths = image_paths(folder)
        if not paths:
            raise ClipError(f"{folder} holds no images ({', '.join(sorted(IMAGES))})")
    box = None
    if face:
        sample = FrameStream(paths[:: max(1, len(paths) // 4)], folder, None, None, False)
        box = face_of(folder, sample, margin)
    return FrameStream(paths, folder, size, box, progress)


def _ahead(frames: Generator[NDArray[np.uint8], None, None]) -> Iterator[NDArray[np.uint8]]:
    """Read frames in a thread of their own, some ahead of what is done with them.

    Some at a time, because with each that is handed over the two threads wait for each other.
    """
    ready: Queue[list[NDArray[np.uint8]] | BaseException | None] = Queue(_AHEAD)
    stopped = Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            while some := list(islice(frames, _AT_A_TIME)):
                ready.put(some)
                if stopped.is_set():
                    return
        except BaseException as error:
            end = error
        finally:
            frames.close()  # here: FFmpeg's log is that of the thread
            ready.put(end)

    thread = Thread(target=read, name="frames", daemon=True)
    thread.start()
    try:
        while (got := ready.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield from got
    finally:
        stopped.set()
        while thread.is_alive():  # it may wait for room
            with suppress(Empty):
                ready.get(timeout=0.05)
        thread.join()


def _stream_video(
    path: Path,
    size: tuple[int, int] | None,
    face: bool,
    margin: float,
    damaged: Damaged,
    progress: bool | None,
) -> FrameStream:
    require("finding the face in a video" if face else "reading a video", *["video", "face"][: 1 + face])
    video = VideoFile(path, keep=damaged == "keep")
    box = None
    if face:
        among = round(_SEARCHED * (_rate(path)[0] or 25))
        box = video.find_face(margin, among)
    return FrameStream(video, path, size, box, progress)


def _rate(path: Path) -> tuple[float | None, bool]:
    """Frames in a second on average, and whether they are unevenly spaced, by what the container says."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        average, base = stream.average_rate, stream.base_rate
    if not average:
        return None, False
    # The base rate is the coarsest grid that all time stamps lie on: of even ones the rate, or (fields) twice
    # it.
    steps = float(base / average) if base else 1.0
    return float(average), abs(steps - round(steps)) > 0.02 * steps or round(steps) > 2
