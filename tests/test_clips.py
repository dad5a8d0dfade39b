"""Reading clips: real videos, folders of frames, and what damage does to them."""

import hashlib
import struct
import sys
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from microexpr import describe
from microexpr.data import (
    ClipError,
    find_face,
    image_paths,
    read_clip,
    read_frames,
    read_image,
    resize,
)
from microexpr.data.clips import content_digest, read_frames_and_digest

REAL = ["single_face.mp4", "WolfgangLanger_Pexels.mp4"]


@pytest.fixture(params=["face", "streamed", *(pytest.param(name, marks=pytest.mark.data) for name in REAL)])
def video(request, videos):
    """A video with a face in it: made here, or where MICROEXPR_DATA is, a real one."""
    if request.param in REAL:
        return request.getfixturevalue("real_data") / "video" / request.param
    return getattr(videos, request.param)


@pytest.fixture(params=["face", pytest.param("single_face.mp4", marks=pytest.mark.data)])
def scene(request, videos):
    """The first frames of such a video, whole."""
    if request.param in REAL:
        path = request.getfixturevalue("real_data") / "video" / request.param
    else:
        path = videos.face
    return read_clip(path, face=False, size=None)[:3]


def write_frames(folder, count=12, size=(40, 32), name="img{}.png", seed=0):
    folder.mkdir(exist_ok=True)
    frames = np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / name.format(number))
    return frames


def test_a_face_video_is_cropped_and_resized(video):
    frames = read_clip(video)
    assert frames.shape == (472 if video.name == REAL[1] else 72, 128, 128)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    # the crop holds a face: the cascade finds one again, and it fills most of the frame
    assert min(find_face(frames[::18], margin=0)[2:]) > 80


def test_the_face_is_where_it_was_put(videos):
    frames = read_clip(videos.face, face=False, size=None)
    top, left, height, width = find_face(frames[::18], margin=0)
    found, placed = np.zeros(frames[0].shape, bool), np.zeros(frames[0].shape, bool)
    found[top : top + height, left : left + width] = True
    top, left, height, width = videos.box
    placed[top : top + height, left : left + width] = True
    assert (found & placed).sum() > 0.6 * (found | placed).sum()


def test_whole_frames_of_a_video(video):
    frames = read_clip(video, face=False, size=None)
    assert frames.shape == (472 if video.name == REAL[1] else 72, 360, 640)


def test_no_face(videos):
    with pytest.raises(ClipError, match=r"texture\.mp4: no face found"):
        read_clip(videos.texture)
    assert len(read_clip(videos.texture, face=False)) == 24


def test_no_face_in_a_real_video(real_data):
    with pytest.raises(ClipError, match=r"no_face\.mp4: no face found"):
        read_clip(real_data / "video" / "no_face.mp4")
    # it is whole, although 3 of the 98 frames it announces are not for showing
    assert len(read_clip(real_data / "video" / "no_face.mp4", face=False)) == 95


@pytest.mark.parametrize(
    ("absent", "face", "message"),
    [
        (["av"], False, r"^reading a video needs av; install microexpr\[video\]$"),
        (["av"], None, r"^finding the face in a video needs av; install microexpr\[video\]$"),
        (["skimage"], True, r"^finding the face in a video needs scikit-image; install microexpr\[face\]$"),
        (["av", "skimage"], True, r" needs av, scikit-image; install microexpr\[video,face\]$"),
    ],
)
def test_a_video_without_the_extras(tmp_path, monkeypatch, absent, face, message):
    """All that are missing are named, before anything is read: this video could not be."""
    (tmp_path / "x.mp4").write_bytes(b"")
    for module in absent:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=message):
        read_clip(tmp_path / "x.mp4", face=face)


def test_a_face_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match=r"^finding a face needs .*microexpr\[face\]$"):
        find_face(iter([]))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_video(tmp_path, video, share):
    data = video.read_bytes()
    path = tmp_path / video.name
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ClipError, match=r"ends early|not a readable video") as error:
        read_clip(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["face.mp4", pytest.param(REAL[1], marks=pytest.mark.data)])
def test_garbage_in_the_middle_of_a_video(request, tmp_path, videos, name):
    whole = request.getfixturevalue("real_data") / "video" / name if name in REAL else videos.face
    data = bytearray(whole.read_bytes())
    # Of our own video a third, because FFmpeg notices where packets begin, and its encoders differ in where.
    middle, length = len(data) // 2, 2000 if name in REAL else len(data) // 3
    data[middle : middle + length] = np.random.default_rng(0).bytes(length)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with pytest.raises(ClipError, match=r"damaged\.mp4 is not a readable video"):
        read_clip(path, face=False)


def test_folder_frames_sort_as_numbers(tmp_path):
    frames = write_frames(tmp_path / "clip")
    assert [path.name for path in image_paths(tmp_path / "clip")] == [f"img{i}.png" for i in range(1, 13)]
    np.testing.assert_array_equal(read_clip(tmp_path / "clip", size=None), frames)


def test_only_images_are_read(tmp_path):
    frames = write_frames(tmp_path / "clip", count=3)
    (tmp_path / "clip" / "notes.txt").write_text("not an image")
    (tmp_path / "clip" / "Thumbs.db").write_bytes(b"\0")
    assert len(read_clip(tmp_path / "clip", size=None)) == len(frames)


def test_mixed_names_are_ordered(tmp_path):
    for name in ("b2.png", "b10.png", "10.png", "9.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    assert [path.name for path in image_paths(tmp_path)] == ["9.png", "10.png", "b2.png", "b10.png", "b.png"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_clip(tmp_path / "missing.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match="holds no images"):
        read_clip(tmp_path / "empty")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(ClipError, match=r"text\.mp4 is not a readable video"):
        read_clip(tmp_path / "text.mp4")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "pgm", "tif"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    write_frames(tmp_path / "clip", count=3, name="img{}." + suffix)
    path = tmp_path / "clip" / f"img2.{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ClipError, match=rf"img2\.{suffix} is not a readable image"):
        read_clip(tmp_path / "clip")


def test_frames_of_different_size(tmp_path):
    write_frames(tmp_path / "clip", count=3)
    Image.new("L", (20, 20)).save(tmp_path / "clip" / "img4.png")
    with pytest.raises(ClipError, match=r"img4\.png is 20 x 20 pixels but img1\.png is 40 x 32"):
        read_clip(tmp_path / "clip", size=None)
    assert read_clip(tmp_path / "clip").shape == (4, 128, 128)


@pytest.mark.parametrize(
    ("name", "image", "mode"),
    [
        ("float.tif", Image.fromarray(np.full((8, 8), 0.5, np.float32)), "F"),
        ("long.tif", Image.fromarray(np.full((8, 8), 70_000, np.int32)), "I"),
        ("negative.tif", Image.fromarray(np.full((8, 8), -1, np.int32)), "I"),
    ],
)
def test_deep_grey_images_are_refused_with_advice_not_clipped(tmp_path, name, image, mode):
    path = tmp_path / name
    image.save(path)
    for read in (read_image, lambda path: read_clip(path.parent), lambda path: read_frames([path])):
        with pytest.raises(
            ClipError, match=rf"{name} has pixels of mode {mode}, but .* convert it to 8 bits"
        ):
            read(path)


def test_the_advice_for_deep_images_works(tmp_path):
    frames = np.random.default_rng(0).integers(0, 4096, (4, 16, 16), dtype=np.uint16)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    read = np.stack([iio.imread(path) for path in image_paths(tmp_path)])
    np.testing.assert_array_equal(describe(read, blocks=(2, 2)), describe(frames, blocks=(2, 2)))


def test_sixteen_bits_a_channel_in_colour_are_read_by_their_upper_eight(tmp_path):
    """A PNG written by hand: Pillow writes none."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = np.repeat(np.arange(0, 65536, 4096, dtype=">u2")[:, None], 3, axis=1)  # a row of 16 greys
    rows = b"\0" + pixels.tobytes()
    (tmp_path / "colour.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png")[0], np.arange(0, 256, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 128}, "size is 128"),
        ({"size": (0, 5)}, r"size is \(0, 5\)"),
        ({"size": (5.5, 5)}, r"size is \(5.5, 5\)"),
        ({"size": (True, 5)}, r"size is \(True, 5\)"),
        ({"size": (10**9, 10**9)}, "size is"),
        ({"stabilise": ["integer"]}, "stabilise is"),
        ({"stabilise": np.nan}, "stabilise is nan"),
        ({"n_frames": np.nan}, "n_frames is nan"),
        ({"n_frames": 10**12}, "n_frames is 1000000000000"),
        ({"n_frames": True}, "n_frames is True"),
        ({"margin": "1"}, "margin is 1"),
        ({"margin": None}, "margin is None"),
        ({"damaged": None}, "damaged is None; it must be"),
        ({"damaged": "ignore"}, "damaged is 'ignore'; it must be"),
        ({"damaged": ["keep"]}, r"damaged is \['keep'\]; it must be"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    write_frames(tmp_path / "clip", count=2)
    with pytest.raises(ValueError, match=f"^{message}"):
        read_clip(tmp_path / "clip", **options)


def test_a_box_that_is_not_inside_the_picture(tmp_path):
    """Pillow would fill what is outside with black."""
    write_frames(tmp_path / "clip", count=2)
    paths = image_paths(tmp_path / "clip")
    for box in [(30, 0, 20, 10), (0, 30, 10, 20)]:
        with pytest.raises(ClipError, match=r"img1\.png is 40 x 32 pixels; box .* is not inside it"):
            read_frames(paths, box=box)
    for box in [(-1, 0, 10, 10), (0, 0, 0, 10), (0.5, 0, 10, 10), (0, 0, 10), 5]:
        with pytest.raises(ValueError, match=r"^box is"):
            read_frames(paths, box=box)
    with pytest.raises(ValueError, match=r"^paths is "):
        read_frames(str(paths[0]))


@pytest.mark.parametrize("function", [lambda frame: resize(frame, (5, 5)), lambda frame: find_face([frame])])
def test_wrong_single_frames(function):
    frame = np.zeros((8, 9), np.uint8)
    for wrong in (frame.astype(np.uint16), frame / 255, frame.tolist(), None, np.ma.masked_array(frame)):
        with pytest.raises(TypeError, match=r"^the frame is of .*; it must be an array of uint8"):
            function(wrong)
    for wrong in (frame[0], np.stack([frame] * 3, -1), frame[:0]):
        with pytest.raises(ValueError, match=r"^the frame has shape .*; it must be grey"):
            function(wrong)


def test_luma_of_a_colour_jpeg_is_what_the_full_decoder_gives(tmp_path):
    path = tmp_path / "colour.jpg"
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize((50, 60)))
    Image.fromarray(smooth).save(path, quality=95)
    luma = np.asarray(Image.open(path).convert("YCbCr"))[..., 0]
    np.testing.assert_allclose(read_image(path).astype(int), luma, atol=2)


def test_face_in_a_folder(tmp_path, scene):
    for number, frame in enumerate(scene):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    top, left, height, width = find_face(scene, margin=0.1)
    expected = np.stack([resize(f[top : top + height, left : left + width], (128, 128)) for f in scene])
    np.testing.assert_array_equal(read_clip(tmp_path, face=True), expected)


def test_margin_stops_at_the_frame(scene):
    small, large = (find_face(scene[:1], margin) for margin in (0.0, 5.0))
    assert large == (0, 0, 360, 640)
    assert small[2] == small[3]


@pytest.mark.parametrize("margin", [-0.5, np.nan, np.inf])
def test_margin_below_zero(margin, videos):
    with pytest.raises(ValueError, match=f"^margin is {margin}; it must be 0 or more"):
        read_clip(videos.face, margin=margin)


def test_a_large_frame_gives_the_same_face(scene):
    frame = scene[0]
    box = np.array(find_face([frame]))
    doubled = np.array(find_face([resize(frame, (1440, 2560))]))
    np.testing.assert_allclose(doubled / 4, box, atol=15)


def test_the_rounding_of_the_pixels_does_not_move_the_face(scene):
    """A grey level here and there: the single largest detection would jump by a sixth of the face."""
    frame = scene[0]
    boxes = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=frame.shape)
        boxes.append(find_face([np.clip(frame + noise, 0, 255).astype(np.uint8)], margin=0))
    assert np.ptp(boxes, axis=0).max() <= 0.1 * boxes[0][2]


def test_read_frames_keeps_the_order_given(tmp_path):
    frames = write_frames(tmp_path / "clip", count=4)
    paths = image_paths(tmp_path / "clip")
    np.testing.assert_array_equal(read_frames(paths[::-1], None), frames[::-1])


def test_a_box_is_cut_out_before_resizing(tmp_path):
    frames = write_frames(tmp_path / "clip", count=2)
    expected = [resize(frame[3:33, 5:30], (16, 12)) for frame in frames]
    found = read_frames(image_paths(tmp_path / "clip"), (16, 12), box=(3, 5, 30, 25))
    np.testing.assert_array_equal(found, expected)


def test_the_digest_is_of_the_contents_in_order(tmp_path):
    write_frames(tmp_path / "clip", count=3)
    paths = image_paths(tmp_path / "clip")
    sums = [struct.pack("<QI", p.stat().st_size, zlib.crc32(p.read_bytes())) for p in paths]
    digest = hashlib.sha256(b"".join(sums)).digest()
    frames, found = read_frames_and_digest(paths, (16, 16))
    assert found == content_digest(paths) == digest
    np.testing.assert_array_equal(frames, read_frames(paths, (16, 16)))
    assert content_digest(paths[::-1]) != digest
