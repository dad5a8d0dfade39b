"""Videos and folders frame by frame: the frames of `read_clip`, its damage and its errors."""

import itertools
import threading
import time

import av
import numpy as np
import pytest
from PIL import Image

from microexpr.data import ClipError, image_paths, read_clip, stream_clip


def read(path, **options):
    return np.stack(list(stream_clip(path, progress=False, **options)))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in (8, 9, 10, 11):
        Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(tmp_path / f"img{number}.png")
    return tmp_path


def test_a_video_gives_the_frames_of_read_clip(videos):
    stream = stream_clip(videos.face, face=False, progress=False)
    assert (stream.count, stream.fps, stream.uneven, stream.box) == (72, 25.0, False, None)
    whole = read_clip(videos.face, face=False)
    for _ in range(2):  # from the beginning each time
        np.testing.assert_array_equal(np.stack(list(stream)), whole)
    np.testing.assert_array_equal(
        read(videos.face, face=False, size=None), read_clip(videos.face, face=False, size=None)
    )


def test_a_video_is_cropped_to_its_face(videos):
    stream = stream_clip(videos.face, progress=False)
    top, left, height, width = videos.box
    assert stream.box is not None
    assert abs(stream.box[0] + stream.box[2] / 2 - top - height / 2) < 0.2 * height
    assert abs(stream.box[1] + stream.box[3] / 2 - left - width / 2) < 0.2 * width
    np.testing.assert_array_equal(np.stack(list(stream)), read_clip(videos.face))
    with pytest.raises(ClipError, match=r"texture\.mp4: no face found in the \d frames searched"):
        stream_clip(videos.texture)


def test_a_folder_gives_the_frames_of_read_clip(folder):
    for size in (None, (16, 24)):
        np.testing.assert_array_equal(read(folder, size=size), read_clip(folder, size=size))
        named = [str(path) for path in image_paths(folder)]
        np.testing.assert_array_equal(read(named, size=size), read_clip(folder, size=size))
    assert stream_clip(folder).fps is None
    with pytest.raises(ValueError, match="damaged is 'keeep'"):
        stream_clip(folder, damaged="keeep")


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_ranges_may_overlap(kind, videos, folder):
    path = videos.face if kind == "video" else folder
    whole = read_clip(path, face=False, size=None)
    wanted = [(0, 1), (1, 3), (2, 2), (2, 3)]
    stream = stream_clip(path, face=False, size=None, progress=False)
    assert len(list(stream)) == len(whole)
    got = list(stream.ranges(wanted))
    assert len(got) == 4
    for (first, last), frames in zip(wanted, got, strict=True):
        np.testing.assert_array_equal(frames, whole[first : last + 1])


def test_a_damaged_frame_is_said_where_it_is(tmp_path, videos):
    data = bytearray(videos.face.read_bytes())
    at = len(data) // 2
    data[at : at + 200] = bytes(200)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(ClipError, match=r"damaged\.mp4 is not .*: it is damaged at .* after \d+ frames"):
        read(tmp_path / "damaged.mp4", face=False)
    with pytest.warns(UserWarning, match="is damaged at"):
        frames = read(tmp_path / "damaged.mp4", face=False, damaged="keep")
    assert len(frames) > 60


def test_a_file_that_was_cut_is_said_before_its_first_frame(tmp_path, videos):
    (tmp_path / "cut.mp4").write_bytes(videos.streamed.read_bytes()[:-3000])
    with pytest.raises(ClipError, match=r"cut\.mp4 ends early"):
        stream_clip(tmp_path / "cut.mp4", face=False)


def test_frames_that_are_not_evenly_spaced(tmp_path):
    with av.open(str(tmp_path / "phone.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        at = 0
        for t in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32), t, np.uint8), format="gray")
            frame.pts, at = at, at + (1 if t % 3 else 3)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    opened = stream_clip(tmp_path / "phone.mp4", face=False)
    assert opened.uneven
    assert opened.fps == pytest.approx(40 / ((13 * 5 + 3) / 30), rel=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: Image.fromarray(np.full((20, 30), 999, np.uint16)).save(p / "img9.png"),
            "16 bits a pixel",
        ),
        (
            lambda p: Image.new("L", (31, 20)).save(p / "img9.png"),
            "is 20 x 31 pixels; those before are 20 x 30",
        ),
        (lambda p: (p / "img9.png").write_bytes(b"no image"), "is not a readable image"),
        (
            lambda p: Image.new("L", (30, 20)).save(
                p / "img9.tif", save_all=True, append_images=[Image.new("L", (30, 20))]
            ),
            "has 2 pages; a long video is a folder of one image a frame",
        ),
    ],
)
def test_images_that_do_not_belong(folder, make, message):
    make(folder)
    with pytest.raises(ClipError, match=message):
        read(folder, size=None)


def test_what_is_no_long_video(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        stream_clip(tmp_path / "absent")
    with pytest.raises(ClipError, match="holds no images"):
        stream_clip(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "one.png")
    with pytest.raises(ClipError, match="is an image; a long video is a video file or a folder of images"):
        stream_clip(tmp_path / "one.png")
    with pytest.raises(ClipError, match="the clip has no frames"):
        stream_clip([])
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ClipError, match=r"text\.mp4 is not a readable video"):
        stream_clip(tmp_path / "text.mp4", face=False)
    with pytest.raises(ValueError, match="margin is -1"):
        stream_clip(tmp_path / "text.mp4", face=False, margin=-1)
    with pytest.raises(ValueError, match="damaged is 'x'"):
        stream_clip(tmp_path / "text.mp4", face=False, damaged="x")


def test_who_stops_reading_leaves_no_thread(videos):
    before = threading.active_count()
    frames = iter(stream_clip(videos.face, face=False, progress=False))
    assert len(list(itertools.islice(frames, 3))) == 3
    frames.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
