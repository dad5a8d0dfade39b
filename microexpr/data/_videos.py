"""Grey frames of a video file as a player shows them, and what tells that the file is damaged.

FFmpeg conceals damage: of a file that was cut short, or whose bytes were changed, it gives the frames that it
can make and says so in its log only, which PyAV turns off. Here the log is on while a file is read, and the
bytes that the container's own header promises are counted. `docs/clips.md` says what is found.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# What FFmpeg logs as an error about whole files too: a reference frame that is let go twice, marks of cameras
# in a JPEG that are none of its pixels, metadata whose end is not marked.
_HARMLESS = ("mmco: unref short failure", "unable to decode APP fields", "Missing AMF_END_OF_OBJECT")

# Containers that state how long they are, which tells a cut where they do not state their bytes.
_TIMED = ("matroska", "flv")

_NO_PIXELS = np.empty((0, 0), np.uint8)

_lock = threading.Lock()
_listeners = 0
_before: tuple[int | None, bool] = (None, True)


def survey_video(path: Path, damage: Callable[[str], None]) -> int:
    """Count the packets of the first video stream that hold anything, without decoding them.

    `damage` is called with what tells that the file is cut short or damaged, once for each such thing; it may
    raise. What PyAV raises passes through if the file cannot be opened at all.
    """
    count, end, gap, last = 0, 0.0, 0.0, math.nan
    with _listening() as lines, open_video(path) as container:
        stream = container.streams.video[0]
        if what := what_is_cut_off(path):
            damage(what)
        for packet in _packets(container, None, damage):
            if packet is None or packet.pts is None:
                count += packet is not None and packet.stream is stream
                continue
            start = float(packet.pts * packet.time_base)
            end = max(end, start + float((packet.duration or 0) * packet.time_base))
            if packet.stream is stream:
                gap = max(gap, start - last) if count else 0.0
                last = start
                count += 1
        promised = _promised_bytes(path)
        if promised is None and count < stream.frames < 1 << 30:  # that many say that it was not known
            # Packets are counted, not frames: some whole files announce frames that are not for showing.
            damage(f"ends early: {count} of its {stream.frames} frames are there")
        elif promised is None and container.duration and container.format.name.startswith(_TIMED):
            seconds = container.duration / 1e6
            if end < seconds - gap - 0.01:  # the last frame may be shown for as long as any other
                damage(f"ends early: {end:.3f} of its {seconds:.3f} s are there")
        _tell(lines, container.format.name, damage, f" at {end:.3f} s")
    return count


def shown_frames(
    path: Path, damage: Callable[[str], None], *, threads: int = 1, needed: Container[int] | None = None
) -> Generator[NDArray[np.uint8], None, None]:
    """Decode the first video stream: the frames' luma, turned and mirrored as a player shows them.

    `damage` as for `survey_video`; with several `threads` (0: as FFmpeg likes) it is told a part only. Frames
    whose number is not `needed` have no pixels: the conversion to grey takes a third of the time. Close the
    generator (`contextlib.closing`) if it may not run to its end.
    """
    from av.error import FFmpegError
    from av.video.reformatter import VideoReformatter

    # One for all frames: `to_ndarray` alone sets a conversion up for each, which took 190 of 210 µs at 128 x
    # 128.
    to_grey = VideoReformatter()
    with _listening() as lines, open_video(path) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder is None:
            raise ValueError("there is no decoder for it")
        decoder.options = {"err_detect": "crccheck"}
        decoder.thread_count = threads  # PyAV does not say whose the lines are that another thread logs
        lines.clear()  # opening it decodes its beginning, of which the same is logged again
        count, last, matrix = 0, None, (1, 0, 0, 1)

        def where() -> str:  # only where it is told: it would take a tenth of the time
            return f"{'' if last is None else f' at {_seconds(last)}'}, after {before} frames"

        for packet in _packets(container, stream, damage):
            if packet is not None and packet.pts is not None:
                last = packet
            before, decoded = count, []
            try:
                decoded = decoder.decode(packet)
            except FFmpegError as error:
                damage(f"is damaged{where()}: {reason_of(error)}")
                lines.clear()  # they say the same
            if lines:
                _tell(lines, decoder.name, damage, where())
            if packet is not None and packet.is_corrupt:
                damage(f"is damaged{where()}: FFmpeg marks what it reads there as corrupt")
            for frame in decoded:
                if frame.is_corrupt:
                    damage(f"is damaged{where()}: FFmpeg marks a frame there as corrupt")
                count += 1
                matrix = _display_matrix(frame) or matrix  # an H.264 stream says it once for many frames
                if needed is not None and count - 1 not in needed:
                    yield _NO_PIXELS
                    continue
                grey: Any = to_grey.reformat(frame, format="gray").to_ndarray()
                yield _turned(grey, matrix)


def open_video(path: Path) -> Any:
    """Open a video with PyAV."""
    import av

    # The title of a whole file may be in another encoding.
    return av.open(str(path), metadata_errors="replace", options={"format_whitelist": _formats()})


@cache
def _formats() -> str:
    """List the formats that are files by themselves; others name further files, which may have no end."""
    import av

    lists = ("concat", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest")
    return ",".join(sorted(av.formats_available - set(lists)))


def what_is_cut_off(path: Path) -> str:
    """Say how much of a file is there, if its header promises more."""
    promised, size = _promised_bytes(path), os.path.getsize(path)
    if promised is None or promised <= size:
        return ""
    return f"ends early: {size} of its {promised} bytes are there"


def reason_of(error: Exception) -> str:
    """Say what PyAV raised without the name of the file, which the caller gives."""
    return str(getattr(error, "strerror", None) or error)


@contextmanager
def _listening() -> Iterator[list[tuple[int, str, str]]]:
    """Turn FFmpeg's log on, and give the lines of it that this thread causes: (level, whose, what).

    The level is the whole process's, so the first to come turns it up and the last to leave puts it back.
    """
    global _listeners, _before
    import av.logging

    with _lock:
        if not _listeners:
            _before = av.logging.get_level(), av.logging.get_skip_repeated()
            av.logging.set_level(max(av.logging.ERROR, _before[0] or 0))
            # By default a line is dropped that was logged last already, were it of another file.
            av.logging.set_skip_repeated(False)
        _listeners += 1
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        with _lock:
            _listeners -= 1
            if not _listeners:
                av.logging.set_level(_before[0])
                av.logging.set_skip_repeated(_before[1])


def _packets(container: Any, stream: Any, damage: Callable[[str], None]) -> Iterator[Any]:
    """Packets of one stream (None: of all) that hold anything, then None, which flushes a decoder."""
    from av.error import FFmpegError

    last = None
    try:
        for packet in container.demux(*([] if stream is None else [stream])):
            if packet.size:  # none is in what a recorder dropped; the decoder would take it for the end
                yield packet
                if packet.pts is not None:
                    last = packet
    except FFmpegError as error:
        damage(f"is damaged{'' if last is None else f' after {_seconds(last)}'}: {reason_of(error)}")
    yield None


def _seconds(packet: Any) -> str:
    return f"{float(packet.pts * packet.time_base):.3f} s"


def _tell(lines: list[tuple[int, str, str]], whose: str, damage: Callable[[str], None], where: str) -> None:
    """Call `damage` with the first error in the log of a demuxer or a decoder, and forget all of them."""
    from av.logging import ERROR

    # Not with those of others: of the sound, which may be damaged, or the conversion to grey.
    errors = [what.strip() for level, name, what in lines if level <= ERROR and name == whose]
    errors = [what for what in errors if what and not what.startswith(_HARMLESS)]
    lines.clear()
    if errors:
        damage(f"is damaged{where}: {errors[0]} ({whose})")


def _display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """Return what turns and mirrors in the display matrix: (a, b, c, d), x' = ax + cy and y' = bx + dy."""
    for k in range(len(frame.side_data)):
        data = frame.side_data[k]
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            return a, b, c, d
    return None


def _turned(frame: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Turn by the quarter turn, and mirror, that are nearest to the matrix; players do no more than that."""
    a, b, c, d = matrix
    if a * d - b * c == 0:  # some files have zeros there
        return frame
    if abs(a) + abs(d) < abs(b) + abs(c):
        frame, a, d = frame.T, c, b
    return frame[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _promised_bytes(path: Path) -> int | None:
    """How many bytes a file of this container has if it is whole; None where the container does not say.

    A file may be longer: people and programs append to them.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(65536)
        if head[:4] == b"RIFF":
            return _end_of_chunks(file, size)
        if head[4:8] in _BOXES:
            return _end_of_boxes(file, size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _end_of_segment(head)
        if head[:3] == b"FLV":
            at = head.find(b"filesize\0")
            stated = struct.unpack(">d", head[at + 9 : at + 17])[0] if 0 <= at <= len(head) - 17 else 0.0
            return int(stated) if 0 < stated < 2**53 else None
        if head[:16] == bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"):  # ASF, and its file properties
            at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
            if not 0 <= at <= len(head) - 92 or head[at + 88] & 1:  # broadcast: the size was not known yet
                return None
            return int.from_bytes(head[at + 40 : at + 48], "little") or None
        if head[:4] == b"GIF8":
            return _end_of_gif(file)
        for packet, first in ((188, 0), (192, 4), (204, 0)):  # a transport stream
            begins = head[first : 5 * packet : packet]
            if len(begins) > 1 and set(begins) == set(b"G"):
                return -(-size // packet) * packet
    return None


def _end_of_chunks(file: IO[bytes], size: int) -> int | None:
    """AVI: one RIFF chunk, and more of them from a gigabyte on."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return at
        if length in (0, 0xFFFFFFFF):  # the recorder could not go back to fill it in
            return None
        at += 8 + length
    return at


_BOXES = frozenset(b"ftyp moov mdat free skip wide moof mfra sidx styp uuid meta udta pnot".split())


def _end_of_boxes(file: IO[bytes], size: int) -> int | None:
    """MP4 and QuickTime: boxes one after the other, a length before each."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if name not in _BOXES:  # what cameras append
            return at
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < 8:  # 0: to the end of the file
            return None
        at += length
    return at


def _end_of_segment(head: bytes) -> int | None:
    """Matroska and WebM: a header, then the segment; numbers whose leading zeros tell their length."""

    def number(at: int) -> tuple[int | None, int]:
        length = 9 - head[at].bit_length()
        value = int.from_bytes(head[at : at + length], "big") - (1 << 7 * length)
        return (None if value == (1 << 7 * length) - 1 else value), at + length

    try:
        skipped, at = number(4)
        at += skipped or 0
        if head[at : at + 4] != b"\x18\x53\x80\x67":
            return None
        length, at = number(at + 4)
    except IndexError:
        return None
    return None if length is None else at + length


def _end_of_gif(file: IO[bytes]) -> int:
    """Behind the trailer; one byte behind the file's end where there is none."""

    def byte() -> int:
        return file.read(1)[0]  # IndexError at the file's end

    def skip_table(flags: int) -> None:
        if flags & 0x80:
            file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)

    file.seek(10)
    try:
        skip_table(byte())
        file.seek(2, os.SEEK_CUR)
        while (kind := byte()) != 0x3B:
            if kind == 0x2C:  # an image: its place, its table, the size of its codes
                file.seek(8, os.SEEK_CUR)
                skip_table(byte())
                byte()
            elif kind == 0x21:
                byte()
            else:  # no block of a GIF
                return file.tell()
            while length := byte():
                file.seek(length, os.SEEK_CUR)
    except IndexError:
        return os.fstat(file.fileno()).st_size + 1
    return file.tell()
