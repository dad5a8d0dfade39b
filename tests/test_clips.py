"""Reading clips: real videos, folders of frames, and what damage does to them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microexpr.clips import ClipError, find_face, image_paths, read_clip, read_frames, read_image, resize

DATA = Path(__file__).parents[2] / "shared" / "data"
VIDEO = DATA / "video"


def write_frames(folder, count=12, size=(40, 32), name="img{}.png", seed=0):
    folder.mkdir(exist_ok=True)
    frames = np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / name.format(number))
    return frames


@pytest.mark.parametrize(("name", "count"), [("single_face.mp4", 72), ("WolfgangLanger_Pexels.mp4", 472)])
def test_a_face_video_is_cropped_and_resized(name, count):
    frames = read_clip(VIDEO / name)
    assert frames.shape == (count, 128, 128)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    # the crop holds a face: the cascade finds one again, and it fills most of the frame
    assert min(find_face(frames[:: count // 4], margin=0)[2:]) > 80


def test_whole_frames_of_a_video():
    frames = read_clip(VIDEO / "single_face.mp4", face=False, size=None)
    assert frames.shape == (72, 360, 640)


def test_no_face():
    with pytest.raises(ClipError, match=r"no_face\.mp4: no face found"):
        read_clip(VIDEO / "no_face.mp4")
    # it is whole, although 3 of the 98 frames it announces are not for showing
    assert len(read_clip(VIDEO / "no_face.mp4", face=False)) == 95


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["single_face.mp4", "WolfgangLanger_Pexels.mp4"])
def test_a_truncated_video(tmp_path, name, share):
    data = (VIDEO / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ClipError, match=r"ends early|not a readable video") as error:
        read_clip(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_garbage_in_the_middle_of_a_video(tmp_path):
    data = bytearray((VIDEO / "WolfgangLanger_Pexels.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
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


def test_sixteen_bit_images_are_refused_not_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ClipError, match=r"deep\.png has pixels of mode I;16"):
        read_image(tmp_path / "deep.png")


def test_luma_of_a_colour_jpeg_is_what_the_full_decoder_gives(tmp_path):
    path = tmp_path / "colour.jpg"
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize((50, 60)))
    Image.fromarray(smooth).save(path, quality=95)
    luma = np.asarray(Image.open(path).convert("YCbCr"))[..., 0]
    np.testing.assert_allclose(read_image(path).astype(int), luma, atol=2)


def test_face_in_a_folder(tmp_path):
    frames = read_clip(VIDEO / "single_face.mp4", face=False, size=None)[:3]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    top, left, height, width = find_face(frames, margin=0.1)
    expected = np.stack([resize(f[top : top + height, left : left + width], (128, 128)) for f in frames])
    np.testing.assert_array_equal(read_clip(tmp_path, face=True), expected)


def test_margin_stops_at_the_frame():
    frames = read_clip(VIDEO / "single_face.mp4", face=False, size=None)[:1]
    small, large = (find_face(frames, margin) for margin in (0.0, 5.0))
    assert large == (0, 0, 360, 640)
    assert small[2] == small[3]


@pytest.mark.parametrize("margin", [-0.5, np.nan, np.inf])
def test_margin_below_zero(margin):
    with pytest.raises(ValueError, match=f"^margin is {margin}; it must be 0 or more"):
        read_clip(VIDEO / "single_face.mp4", margin=margin)


def test_a_large_frame_gives_the_same_face():
    frame = read_clip(VIDEO / "single_face.mp4", face=False, size=None)[0]
    box = np.array(find_face([frame]))
    doubled = np.array(find_face([resize(frame, (1440, 2560))]))
    np.testing.assert_allclose(doubled / 4, box, atol=15)


def test_read_frames_keeps_the_order_given(tmp_path):
    frames = write_frames(tmp_path / "clip", count=4)
    paths = image_paths(tmp_path / "clip")
    np.testing.assert_array_equal(read_frames(paths[::-1], None), frames[::-1])
