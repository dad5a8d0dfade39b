"""Videos as people have them: turned, cut short, damaged inside, and whole in unusual ways."""

import re
import struct
import threading
import warnings
from fractions import Fraction

import av
import av.logging
import numpy as np
import pytest
from scipy import ndimage

from microexpr.data import ClipError, read_clip

N = 16

# Name: container, codec, options of the container, options of the codec.
VIDEOS = {
    "h264.mkv": ("matroska", "libx264", {}, {}),
    "ffv1.mkv": ("matroska", "ffv1", {}, {"level": "3", "slicecrc": "1"}),
    "mjpeg.mkv": ("matroska", "mjpeg", {}, {}),
    "live.mkv": ("matroska", "libx264", {"live": "1"}, {}),
    "vp8.webm": ("webm", "libvpx", {}, {}),
    "vp9.webm": ("webm", "libvpx-vp9", {}, {}),
    "h264.ts": ("mpegts", "libx264", {}, {}),
    "mpeg2.ts": ("mpegts", "mpeg2video", {}, {}),
    "flv1.flv": ("flv", "flv", {}, {}),
    "h264.flv": ("flv", "libx264", {}, {}),
    "mpeg1.mpg": ("mpeg", "mpeg1video", {}, {}),
    "mpeg2.vob": ("vob", "mpeg2video", {}, {}),
    "wmv2.wmv": ("asf", "wmv2", {}, {}),
    "mjpeg.avi": ("avi", "mjpeg", {}, {}),
    "mpeg4.avi": ("avi", "mpeg4", {}, {}),
    "ffv1.avi": ("avi", "ffv1", {}, {"level": "3", "slicecrc": "1"}),
    "raw.avi": ("avi", "rawvideo", {}, {}),
    "h264.mp4": ("mp4", "libx264", {}, {}),
    "mpeg4.mp4": ("mp4", "mpeg4", {}, {}),
    "faststart.mp4": ("mp4", "libx264", {"movflags": "faststart"}, {}),
    "fragments.mp4": ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}, {"g": "4"}),
    "mjpeg.mov": ("mov", "mjpeg", {}, {}),
    "faststart.mov": ("mov", "mjpeg", {"movflags": "faststart"}, {}),
    "x.gif": ("gif", "gif", {}, {}),
}
PIXELS = {
    "mjpeg": "yuvj420p",
    "gif": "rgb8",
    "prores_ks": "yuv422p10le",
    "png": "rgb24",
    "huffyuv": "yuv422p",
}


def frames(count=N, height=96, width=128):
    """A drifting pattern."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(height, width + count)), 1.5)
    pattern = np.clip(128 + 400 * noise, 0, 255).astype(np.uint8)
    return [pattern[:, t : t + width] for t in range(count)]


def encode(
    file, container, codec, container_options, codec_options, *, times=range(N), sound=None, size=None
):
    """Write frames at these times, in 1/25 s, and a second of sound."""
    with av.open(file, "w", format=container, options=container_options) as output:
        stream = output.add_stream(codec, rate=25, options={"threads": "1", **codec_options})
        pictures = size or frames(len(times))
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = PIXELS.get(codec, "yuv420p")
        voice = output.add_stream(sound, rate=44100) if sound else None
        if voice:
            voice.layout, voice.bit_rate = "mono", 64_000
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if voice:
            tone = (8000 * np.sin(np.arange(44100) / 16)).astype(np.int16)[None]
            resampler = av.AudioResampler(voice.format, "mono", 44100, frame_size=voice.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(voice.encode(piece))
            output.mux(voice.encode())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Give the file of that name in VIDEOS, encoded once."""
    folder = tmp_path_factory.mktemp("encoded")

    def get(name):
        path = folder / name
        if not path.exists():
            encode(str(path), *VIDEOS[name])
        return path

    return get


def read(path, **options):
    return read_clip(path, face=False, size=None, progress=False, **options)


def refusal(path):
    """Return what the ClipError says, or nothing and the frames."""
    try:
        return "", read(path)
    except ClipError as error:
        return str(error), None


@pytest.fixture(autouse=True)
def _no_warning_and_no_log_left():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert av.logging.get_level() is None
    assert av.logging.get_skip_repeated()


# ------------------------------------------------------------------------------------------------ orientation

# A display matrix [a b; c d]: the pixel in column x and row y is shown at (ax + cy, bx + dy).
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda f: f),
    "90": ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),
    "180": ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
    "270": ((0, -1, 1, 0), lambda f: np.rot90(f)),
    "mirrored": ((-1, 0, 0, 1), lambda f: f[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda f: f[::-1]),
    "mirrored, 90": ((0, 1, 1, 0), lambda f: f.T),
    "mirrored, 270": ((0, -1, -1, 0), lambda f: f.T[::-1, ::-1]),
    "scaled, 90": ((0, 3, -3, 0), lambda f: np.rot90(f, -1)),
    "nearly 90": ((0.1, 0.9, -0.9, 0.1), lambda f: np.rot90(f, -1)),
    "nothing": ((0, 0, 0, 0), lambda f: f),
}


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.mp4", "fragments.mp4", "mjpeg.mov"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_display_matrix(tmp_path, video, name, matrix):
    """Orientations x formats of docs/clips.md."""
    entries, turn = MATRICES[matrix]
    data = bytearray(video(name).read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: behind times, track, duration, layer and volume
    assert data[at : at + 4] == struct.pack(">i", 1 << 16)
    for offset, entry in zip((0, 4, 12, 16), entries, strict=True):
        struct.pack_into(">i", data, at + offset, int(entry * 65536))
    path = tmp_path / name
    path.write_bytes(data)
    expected = np.stack([turn(frame) for frame in read(video(name))])
    np.testing.assert_array_equal(read(path), expected)
    assert read_clip(path, face=False, size=(40, 30)).shape == (N, 40, 30)
    if name == "h264.mp4" and matrix in ("90", "180", "270"):
        copy(path, tmp_path / "x.mkv", "matroska")
        np.testing.assert_array_equal(read(tmp_path / "x.mkv"), expected)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "flv", "avi", "mp4"])
@pytest.mark.parametrize(
    ("said", "turn"),
    [
        ("rotate=90", lambda f: np.rot90(f)),  # counter-clockwise
        ("rotate=180", lambda f: np.rot90(f, 2)),
        ("rotate=270", lambda f: np.rot90(f, -1)),
        ("flip=horizontal", lambda f: f[:, ::-1]),
        ("flip=vertical", lambda f: f[::-1]),
    ],
)
def test_orientation_that_the_h264_stream_says(tmp_path, video, container, said, turn):
    filters = f"h264_metadata=display_orientation=insert:{said}"
    copy(video("h264.ts"), tmp_path / "turned", container, filters)
    expected = np.stack([turn(frame) for frame in read(video("h264.ts"))])
    np.testing.assert_array_equal(read(tmp_path / "turned"), expected)


def copy(source, target, container, filters="null"):
    """Copy a video into another container as it is, but for what the filters of its packets change."""
    with av.open(str(source)) as given, av.open(str(target), "w", format=container) as output:
        stream = given.streams.video[0]
        add = getattr(output, "add_stream_from_template", None) or (lambda s: output.add_stream(template=s))
        copied = add(stream)
        context = av.bitstream.BitStreamFilterContext(filters, stream)
        for packet in given.demux(stream):
            for changed in context.filter(packet if packet.size else None):
                changed.stream = copied
                output.mux(changed)


# -------------------------------------------------------------------------------------------------- cut short

# What a cut between two frames leaves is a whole file of these.
UNMARKED = {"h264.ts", "mpeg2.ts", "mpeg2.vob", "mpeg1.mpg"}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_cut_is_told(tmp_path, video, name):
    """Containers x places to cut of docs/clips.md."""
    data = video(name).read_bytes()
    whole = read(video(name))
    assert len(whole) == N
    with av.open(str(video(name))) as container:
        between = [packet.pos for packet in container.demux() if packet.pos]
    path = tmp_path / name
    untold = {"inside": [], "between": []}
    for kind, cuts in (("inside", np.linspace(1, len(data) - 1, 24)), ("between", between)):
        for cut in map(int, cuts):
            path.write_bytes(data[:cut])
            message, left = refusal(path)
            if message:
                assert message.startswith(f"{path} ")
                assert re.search("ends early|is not a readable video|has no video frames", message)
                assert "\n" not in message
            elif not np.array_equal(left, whole):  # padding may be lost
                untold[kind].append(cut)
    assert not untold["inside"]
    assert not untold["between"] or name in UNMARKED


@pytest.mark.parametrize("name", ["ffv1.mkv", "mjpeg.avi", "faststart.mov", "x.gif"])
def test_of_a_cut_video_the_frames_are_kept_if_asked(tmp_path, video, name):
    data = video(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: 4 * len(data) // 5])
    with pytest.raises(ClipError, match=r"ends early: \d+ of its \d+ bytes are there; damaged='keep'"):
        read(path)
    with pytest.warns(UserWarning, match=r"ends early: .*; its \d+ frames are kept, as damaged='keep' says"):
        kept = read(path, damaged="keep")
    assert 5 < len(kept) < N
    np.testing.assert_array_equal(kept[:5], read(video(name))[:5])


def test_a_count_or_a_length_tells_where_no_size_does(tmp_path, video):
    data = bytearray(video("mjpeg.avi").read_bytes())
    data[4:8] = bytes(4)  # the recorder did not come to fill it in
    (tmp_path / "x.avi").write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError, match=r"ends early: \d of its 16 frames are there"):
        read(tmp_path / "x.avi")
    data = bytearray(video("flv1.flv").read_bytes())
    at = data.index(b"filesize\0") + 9
    data[at : at + 8] = bytes(8)
    (tmp_path / "whole.flv").write_bytes(data)
    assert len(read(tmp_path / "whole.flv")) == N
    with av.open(str(video("flv1.flv"))) as container:
        between = [packet.pos for packet in container.demux() if packet.pos]
    (tmp_path / "x.flv").write_bytes(data[: between[10]])
    with pytest.raises(ClipError, match=r"ends early: 0\.\d+ of its 0\.640 s are there|is damaged"):
        read(tmp_path / "x.flv")


# --------------------------------------------------------------------------------------------- damaged inside


def damage(data, at, length=40, seed=0):
    damaged = bytearray(data)
    damaged[at : at + length] = np.random.default_rng([seed, at]).bytes(length)
    return bytes(damaged)


# Of 60 videos with 40 bytes damaged, how many of those whose frames change must be told: less than measured,
# for other encoders.
TOLD = (
    dict.fromkeys(["ffv1.mkv", "ffv1.avi"], 1.0)
    | dict.fromkeys(["mpeg4.avi", "mpeg4.mp4", "mpeg2.ts", "x.gif"], 0.7)
    | dict.fromkeys(["h264.mp4", "h264.mkv", "mjpeg.avi", "mjpeg.mkv"], 0.5)
    | {"h264.ts": 0.4}
)


@pytest.mark.parametrize("name", TOLD)
def test_damage_inside_is_told(tmp_path, video, name):
    """Codecs x damage of docs/clips.md."""
    data, whole = video(name).read_bytes(), read(video(name))
    path = tmp_path / name
    told = untold = 0
    for at in np.linspace(0.2 * len(data), 0.9 * len(data), 60).astype(int):
        path.write_bytes(damage(data, at))
        message, left = refusal(path)
        told += bool(message)
        untold += left is not None and not np.array_equal(left, whole)
        assert not message or message.startswith(f"{path} ")
    print(f"{name}: {told} of {told + untold} told")
    assert told >= TOLD[name] * (told + untold) > 10


def test_where_the_damage_is(tmp_path, video):
    data = video("ffv1.mkv").read_bytes()
    with av.open(str(video("ffv1.mkv"))) as container:
        at = [packet.pos for packet in container.demux()][7] + 1000
    path = tmp_path / "x.mkv"
    path.write_bytes(damage(data, at))
    place = r"is damaged at 0\.280 s, after 7 frames: slice CRC mismatch \w+! \(ffv1\)"
    with pytest.raises(ClipError, match=rf"x\.mkv is not a readable video: it {place}; damaged='keep'"):
        read(path)
    with pytest.warns(UserWarning, match=rf"x\.mkv {place}; its 16 frames are kept"):
        same = (read(path, damaged="keep") == read(video("ffv1.mkv"))).all(axis=(1, 2))
    assert same[:7].all()
    assert not same[7]


def test_frames_behind_a_packet_that_cannot_be_decoded_are_kept(tmp_path, video):
    with av.open(str(video("mpeg4.avi"))) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(video("mpeg4.avi").read_bytes())
    at, size = packets[5]
    start = data.index(b"\0\0\1\xb6", at)
    data[start : at + size] = bytes(at + size - start)
    path = tmp_path / "x.avi"
    path.write_bytes(data)
    with pytest.raises(ClipError, match=r"x\.avi is not a readable video: it is damaged at 0\.200 s"):
        read(path)
    with pytest.warns(UserWarning, match=r"x\.avi is damaged at 0\.200 s"):
        assert N - 2 <= len(read(path, damaged="keep")) <= N


def test_two_threads_that_read_two_videos(tmp_path, video):
    """What is one's must not be told of the other, nor be lost, the same lines as well as others."""
    with av.open(str(video("ffv1.mkv"))) as container:
        at = [packet.pos for packet in container.demux()][7] + 1000
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.mkv")
        data = video("ffv1.mkv").read_bytes()
        paths[-1].write_bytes(data if number % 2 else damage(data, at))
    said = {path: [] for path in paths}

    def work(path):
        for _ in range(40):
            said[path].append(refusal(path)[0])

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, path in enumerate(paths):
        assert len(said[path]) == 40
        if number % 2:
            assert set(said[path]) == {""}
        else:
            assert len(set(said[path])) == 1
            assert f"{path} is not a readable video: it is damaged at 0.280 s" in said[path][0]


def test_the_log_is_left_as_it_was(video):
    av.logging.set_level(av.logging.PANIC)
    av.logging.set_skip_repeated(False)
    try:
        read(video("h264.mp4"))
        assert av.logging.get_level() == av.logging.PANIC
        assert not av.logging.get_skip_repeated()
    finally:
        av.logging.set_level(None)
        av.logging.set_skip_repeated(True)


# ------------------------------------------------------------------------------------------------ whole files

WHOLE = {
    "B-frames.mp4": ("mp4", "libx264", {}, {"bf": "3", "g": "5"}),
    "open-gop.ts": ("mpegts", "libx264", {}, {"x264-params": "open-gop=1:keyint=5:min-keyint=1:bframes=3"}),
    "dash.mp4": ("mp4", "libx264", {"movflags": "frag_every_frame+empty_moov+default_base_moof"}, {}),
    "B-frames.avi": ("avi", "mpeg4", {}, {"bf": "2"}),
    "interlaced.ts": ("mpegts", "mpeg2video", {}, {"flags": "+ilme+ildct"}),
    "msmpeg4.avi": ("avi", "msmpeg4", {}, {}),
    "huffyuv.avi": ("avi", "huffyuv", {}, {}),
    "prores.mov": ("mov", "prores_ks", {}, {}),
    "hidden-frames.webm": ("webm", "libvpx-vp9", {}, {"auto-alt-ref": "1", "lag-in-frames": "10"}),
    "raw.mjpeg": ("mjpeg", "mjpeg", {}, {}),
    "raw.h264": ("h264", "libx264", {}, {}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_not_refused(tmp_path, name):
    encode(str(tmp_path / name), *WHOLE[name])
    assert read(tmp_path / name).shape == (N, 96, 128)


@pytest.mark.parametrize("name", ["h264.mp4", "ffv1.mkv", "mpeg4.avi", "mpeg2.ts", "flv1.flv", "wmv2.wmv"])
def test_sound_that_is_longer(tmp_path, name):
    sound = {"wmv2.wmv": "wmav2", "mpeg2.ts": "mp2", "mpeg4.avi": "mp2"}.get(name, "aac")
    encode(str(tmp_path / name), *VIDEOS[name], sound=sound)
    assert len(read(tmp_path / name)) == N


@pytest.mark.parametrize("name", ["h264.mp4", "ffv1.mkv", "h264.flv", "wmv2.wmv", "h264.ts", "live.mkv"])
def test_variable_frame_rate(tmp_path, name):
    times = [0, 1, 2, 7, 8, 30, 31, 32, 60, 61, 62, 63, 64, 65, 66, 120]
    encode(str(tmp_path / name), *VIDEOS[name], times=times)
    assert len(read(tmp_path / name)) == N


class Pipe:
    """A file that cannot be gone back in, so nothing in it says how long it is."""

    def __init__(self):
        self.data = bytearray()

    def write(self, data):
        self.data += data
        return len(data)


@pytest.mark.parametrize(
    "name", ["mjpeg.avi", "ffv1.mkv", "h264.flv", "wmv2.wmv", "fragments.mp4", "h264.ts"]
)
def test_videos_written_into_a_pipe(tmp_path, name):
    pipe = Pipe()
    encode(pipe, *VIDEOS[name])
    (tmp_path / name).write_bytes(pipe.data)
    assert len(read(tmp_path / name)) == N


@pytest.mark.parametrize("name", ["h264.mp4", "ffv1.mkv", "mjpeg.avi", "x.gif", "h264.flv", "wmv2.wmv"])
def test_more_at_the_end_of_the_file(tmp_path, video, name):
    (tmp_path / name).write_bytes(video(name).read_bytes() + b"SEFT" + bytes(range(100)))
    assert len(read(tmp_path / name)) == N


@pytest.mark.parametrize("dropped", [[3], [14, 15], [0, 1]])
def test_frames_that_were_dropped_when_an_avi_was_recorded(tmp_path, video, dropped):
    """Chunks of no bytes, which its header counts."""
    data = video("mjpeg.avi").read_bytes()
    at = movi = data.index(b"movi") + 4
    chunks = []
    while data[at : at + 4] == b"00dc":
        end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
        chunks.append(data[at : end + end % 2])
        at = end + end % 2
    assert len(chunks) == N
    chunks = [b"00dc\0\0\0\0" if k in dropped else chunk for k, chunk in enumerate(chunks)]
    index, offset = b"", 4
    for chunk in chunks:
        index += b"00dc" + struct.pack("<III", 16, offset, struct.unpack_from("<I", chunk, 4)[0])
        offset += len(chunk)
    head = bytearray(data[:movi])
    struct.pack_into("<I", head, movi - 8, offset)
    body = b"".join(chunks) + b"idx1" + struct.pack("<I", len(index)) + index
    struct.pack_into("<I", head, 4, len(head) + len(body) - 8)
    (tmp_path / "x.avi").write_bytes(head + body)
    kept = [frame for k, frame in enumerate(read(video("mjpeg.avi"))) if k not in dropped]
    np.testing.assert_array_equal(read(tmp_path / "x.avi"), kept)


def test_an_edit_list_that_leaves_frames_out(tmp_path, video):
    """As phones write it where a video was trimmed: the frames are there, and counted, but not shown."""
    data = bytearray(video("mpeg4.mp4").read_bytes())
    at = data.index(b"elst") + 12
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] // 2)
    (tmp_path / "x.mp4").write_bytes(data)
    shown = read(tmp_path / "x.mp4")
    np.testing.assert_array_equal(shown, read(video("mpeg4.mp4"))[: len(shown)])
    assert N // 2 <= len(shown) < N


def test_metadata_in_another_encoding(tmp_path, video):
    data = video("h264.mp4").read_bytes()
    assert data.count(b"VideoHandler") == 1
    (tmp_path / "x.mp4").write_bytes(data.replace(b"VideoHandler", "Видеозапись ".encode("cp1251")))
    assert len(read(tmp_path / "x.mp4")) == N


def test_sound_without_pictures(tmp_path):
    with av.open(str(tmp_path / "x.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with pytest.raises(ClipError, match=r"x\.mp4 is not a readable video: it has no pictures in it"):
        read(tmp_path / "x.mp4")


# ------------------------------------------------------------------------------------------------- real data


@pytest.mark.data
def test_odd_clips(real_data):
    odd = real_data / "odd"
    turned, level = (128, 96), (96, 128)
    assert read(odd / "phone90.mp4").shape == (16, *turned)
    assert read(odd / "exif6").shape == (3, *turned)
    assert read(odd / "dropped.avi").shape == (16, *level)
    assert read(odd / "pages").shape == read(odd / "pages" / "1.tif").shape == (6, *level)
    for name, count, place in (
        ("cut.mkv", 9, "ends early: 58056 of its 96760 bytes are there"),
        ("damaged_ffv1.mkv", 16, "is damaged at 0.280 s, after 7 frames"),
    ):
        with pytest.raises(ClipError, match=rf"{name} .*{place}"):
            read(odd / name)
        with pytest.warns(UserWarning, match=rf"{name} {place}"):
            assert len(read(odd / name, damaged="keep")) == count
