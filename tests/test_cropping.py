"""Faces cropped out of raw clips, eyes level, as images with a manifest."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from microexpr import read_clip
from microexpr.data import (
    ClipError,
    crop_clips,
    crop_frames,
    find_face,
    read_frames,
    read_manifest,
    resample,
    resize,
)
from microexpr.data._eyes import find_eyes

# The middle of the astronaut's eyes, measured by hand: across and down, in her picture of 512 x 512 pixels.
EYES = np.array([(203.0, 101.0), (247.5, 103.5)])


def astronaut(degrees=0, zoom=1.0, noise=0.0):
    """Her picture, turned about the middle between her eyes, and where they then are."""
    picture = Image.fromarray(data.astronaut()).convert("L")
    middle = EYES.mean(axis=0)
    turned = picture.rotate(degrees, Image.Resampling.BICUBIC, center=tuple(middle))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # y points down
    large = turned.resize([round(zoom * side) for side in turned.size], Image.Resampling.BICUBIC)
    rng = np.random.default_rng(0)
    frame = np.clip(np.asarray(large) + noise * rng.standard_normal(large.size[::-1]), 0, 255)
    return frame.astype(np.uint8), zoom * (middle + (EYES - middle) @ turn.T)


def write_clip(folder, frames, name="img{}.png", first=1):
    folder.mkdir(parents=True)
    paths = [folder / name.format(number) for number in range(first, first + len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path)
    return paths


def hide_an_eye(frames):
    """Paint over the one on the left: there is still a face to find."""
    frames[:, 96:107, 190:216] = 170


@pytest.fixture
def table(tmp_path):
    """Two clips of a face, one without, one damaged."""
    clips = {}
    for name, degrees in (("level", 0), ("turned", 8)):
        frame, _ = astronaut(degrees)
        clips[name] = write_clip(tmp_path / "raw" / name, [frame] * 4, first=11)
    clips["grass"] = write_clip(tmp_path / "raw" / "grass", [data.grass()] * 3)
    clips["damaged"] = write_clip(tmp_path / "raw" / "damaged", [astronaut()[0]] * 3)
    clips["damaged"][1].write_bytes(clips["damaged"][1].read_bytes()[:500])
    rows = [
        {"dataset": "mine", "subject": "01", "clip": name, "emotion": "surprise", "onset": 11, "apex": 13}
        | {"offset": 14, "action_units": "1+2", "frames": paths}
        for name, paths in clips.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1.0), (8, 1.0), (-8, 1.0), (0, 0.6), (3, 2.5)])
def test_eyes_are_level_and_at_their_places(degrees, zoom):
    frame, eyes = astronaut(degrees, zoom)
    cropped, placement = crop_frames(frame[None], size=(140, 120), eyes_at=(0.3, 0.4))
    assert placement.n_found == placement.n_searched == 1
    assert str(placement) == "eyes"
    apart = np.hypot(*(eyes[1] - eyes[0]))
    assert np.hypot(*(placement.eyes - eyes).T).max() < 0.1 * apart
    # in the image written, whose eyes are 48 pixels apart
    assert cropped.shape == (1, 140, 120)
    back = find_eyes(resize(cropped[0], (560, 480)), (60, 0, 480, 480))
    np.testing.assert_allclose(np.array(back) / 4, [(36, 56), (84, 56)], atol=5)


def test_what_is_cut_out_is_what_the_eyes_say():
    """Each pixel of the image against the frame's pixel that a similarity takes it to."""
    y, x = np.mgrid[:300, :320]
    frame = np.asarray(120 + 60 * np.sin(x / 23) + 60 * np.cos(y / 31), dtype=np.uint8)
    from microexpr.data._eyes import align

    eyes, size, at = ((110.0, 130.0), (170.0, 150.0)), (128, 96), (0.3, 0.4)
    left, right = complex(*eyes[0]), complex(*eyes[1])
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    z = columns + 1j * rows - complex(at[0] * size[1], at[1] * size[0])
    z = left + z * (right - left) / ((1 - 2 * at[0]) * size[1])
    expected = 120 + 60 * np.sin((z.real - 0.5) / 23) + 60 * np.cos((z.imag - 0.5) / 31)
    assert abs(align(frame[None], eyes, size, at)[0] - expected).max() < 3


def test_beyond_the_frame_the_border_is_repeated():
    frame, _ = astronaut()
    cropped, _ = crop_frames(frame[None], eyes_at=(0.4, 0.7))
    assert cropped[0, :20].std(axis=0).max() < 4  # rows alike, and not black
    assert cropped[0, 0].mean() > 30


def test_without_eyes_the_box_is_taken_as_read_clip_takes_it(tmp_path):
    frames = np.stack([astronaut()[0]] * 3)
    hide_an_eye(frames)
    write_clip(tmp_path / "clip", frames)
    expected = read_clip(tmp_path / "clip", face=True, margin=0.2)
    cropped, placement = crop_frames(frames, margin=0.2)
    assert placement.eyes is None
    assert str(placement) == "box: eyes in 0 of 3 frames"
    assert placement.box == find_face(frames, 0.2)
    np.testing.assert_array_equal(cropped, expected)
    frames = np.stack([astronaut()[0]] * 3)
    assert str(crop_frames(frames, eyes=False)[1]) == "box"


def test_one_frame_of_many_with_eyes_is_not_believed():
    frames = np.stack([astronaut()[0]] * 7)
    hide_an_eye(frames[1:])
    assert crop_frames(frames)[1].eyes is None
    frames[1] = frames[0]
    assert crop_frames(frames)[1].n_found == 2
    assert crop_frames(frames)[1].eyes is not None


def test_a_data_set_is_cropped_and_read_again(table, tmp_path):
    cropped = crop_clips(table, tmp_path / "out", size=(96, 80), progress=False)
    assert [str(problem).partition(": ")[0] for problem in cropped.problems] == [
        "clip 01/grass",
        "clip 01/damaged",
    ]
    assert "no face found in the 3 frames searched" in str(cropped)
    assert "img2.png is not a readable image" in str(cropped)
    assert "2 clips, 2 aligned by the eyes" in str(cropped)
    again = read_manifest(cropped.manifest, strict=True)
    assert again["clip"].tolist() == ["level", "turned"]
    assert again["onset"].tolist() == [1, 1]
    assert again["apex"].tolist() == [3, 3]
    assert again["offset"].tolist() == [4, 4]
    for name in ("dataset", "subject", "emotion", "action_units"):
        assert again[name].tolist() == table[name].tolist()[:2]
    for before, after in zip(table["frames"], again["frames"], strict=False):
        expected, _ = crop_frames(read_frames(before, None), size=(96, 80))
        np.testing.assert_array_equal(read_frames(after, None), expected)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "contact_sheet.png",
        "manifest.csv",
        "sub01",
    ]
    sheet = Image.open(cropped.sheets[0])
    assert sheet.size == (400, 116)


def test_resampled_in_time(table, tmp_path):
    cropped = crop_clips(table[:1], tmp_path / "out", n_frames=10, progress=False)
    again = read_manifest(cropped.manifest)
    assert again[["onset", "apex", "offset"]].iloc[0].tolist() == [1, 7, 10]
    expected = resample(crop_frames(read_frames(table["frames"][0], None))[0], 10)
    np.testing.assert_array_equal(read_frames(again["frames"][0], None), expected)


def test_a_video_and_a_folder(videos, table, tmp_path):
    cropped = crop_clips(videos.face, tmp_path / "video", progress=False)
    again = read_manifest(cropped.manifest, strict=True)
    assert again["subject"].tolist() == ["face"]
    assert len(again["frames"][0]) == 72
    assert cropped.placements[0].eyes is not None
    folder = table["frames"][0][0].parent
    assert len(crop_clips(folder, tmp_path / "folder", progress=False).placements) == 1
    with pytest.raises(
        ValueError, match=r"^no clip could be cropped; the first: clip texture/texture: no face"
    ):
        crop_clips(videos.texture, tmp_path / "texture", progress=False)


def test_names_that_no_folder_can_have(table, tmp_path):
    table = table[:1].loc[[0, 0, 0, 0]].reset_index(drop=True)
    table["subject"] = ["CASME II/01", "../01", "01", "01"]
    table["clip"] = ["a b", "..", "x", "X"]
    cropped = crop_clips(table, tmp_path / "out", progress=False)
    with open(cropped.manifest, encoding="utf-8", newline="") as file:
        folders = [row["folder"] for row in csv.DictReader(file)]
    assert len(set(map(str.lower, folders))) == 4
    again = read_manifest(cropped.manifest, strict=True)
    assert again["subject"].tolist() == table["subject"].tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "out"}


def test_nothing_is_written_over(table, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "mine.txt"):
        with pytest.raises(FileExistsError, match="is not an empty folder; crop writes only into a new one"):
            crop_clips(table, out)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_killed_run_leaves_no_part_taken_for_the_whole(tmp_path):
    """Every image there is whole, every clip's folder too, and there is no manifest."""
    frames = [astronaut(noise=3.0)[0]] * 150
    for k in range(6):
        write_clip(tmp_path / "raw" / f"clip{k}", frames[:100], name="img{}.jpg")
    script = (
        "import pandas as pd, sys, pathlib; from microexpr.data import crop_clips, image_paths\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "rows = [{'dataset': 'x', 'subject': '1', 'clip': p.name, 'emotion': 'a', 'frames': image_paths(p)}"
        " for p in sorted((root / 'raw').iterdir())]\n"
        "crop_clips(pd.DataFrame(rows), root / 'out', size=(400, 400), eyes=False, n_jobs=1)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    out = tmp_path / "out"
    until = time.monotonic() + 120
    # os.walk, for folders are renamed meanwhile, at which rglob stumbles.
    while sum(len(files) for _, _, files in os.walk(out)) < 150 and run.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not (out / "manifest.csv").exists()
    finished = [folder for folder in (out / "sub1").iterdir() if folder.suffix != ".partial"]
    assert finished
    for folder in finished:
        assert read_clip(folder, size=None).shape == (100, 400, 400)
    with pytest.raises(FileExistsError):
        crop_clips(tmp_path / "raw" / "clip0", out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": None}, "size is None"),
        ({"size": (0, 3)}, r"size is \(0, 3\)"),
        ({"margin": -1}, "margin is -1"),
        ({"margin": np.nan}, "margin is nan"),
        ({"eyes_at": (0.5, 0.4)}, r"eyes_at is \(0\.5, 0\.4\)"),
        ({"eyes_at": 0.3}, "eyes_at is 0.3"),
        ({"n_frames": 1}, "n_frames is 1"),
        ({"n_jobs": 0}, "n_jobs == 0"),
    ],
)
def test_wrong_options(table, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        crop_clips(table, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_wrong_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        crop_clips(tmp_path / "gone.mp4", tmp_path / "out")
    with pytest.raises(ValueError, match=r"^source has no column dataset; it must be a table of clips"):
        crop_clips(pd.DataFrame({"x": [1]}), tmp_path / "out")
    with pytest.raises(ClipError, match=r"^no face found in the 2 frames searched$"):
        crop_frames(np.zeros((2, 60, 60), np.uint8))
    with pytest.raises(ClipError, match="the clip has no frames"):
        crop_frames(np.zeros((0, 60, 60), np.uint8))
    with pytest.raises(ValueError, match="a picture in colour"):
        crop_frames(np.zeros((60, 60, 3), np.uint8))
    with pytest.raises(TypeError, match="masked array"):
        crop_frames([*np.ma.zeros((2, 60, 60), np.uint8)])


def test_without_opencv(table, tmp_path, monkeypatch):
    """It crops to the box, and says why; asked for eyes, it says what is missing."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    cropped = crop_clips(table[:1], tmp_path / "out", progress=False)
    assert "1 cropped to the face's box (eyes not looked for; they need microexpr[eyes]" in str(cropped)
    with pytest.raises(ModuleNotFoundError, match=r"finding eyes needs opencv-python-headless; .*\[eyes\]"):
        crop_clips(table, tmp_path / "other", eyes=True)


# Centres of the eyes in frames of single_face.mp4, measured by hand, to about 2 pixels.
BY_HAND = {
    0: [(258.5, 171), (331.5, 168)],
    14: [(255.5, 166), (327.3, 161.5)],
    42: [(255.75, 160.5), (327.75, 156.5)],
    56: [(256.25, 159), (329, 154.5)],
    71: [(260.25, 164), (333.25, 160)],
}


def test_eyes_of_a_real_video(real_data):
    frames = read_clip(real_data / "video" / "single_face.mp4", size=None, face=False)
    for t, eyes in BY_HAND.items():
        found = find_eyes(frames[t], find_face([frames[t]], 0))
        assert np.hypot(*(np.array(found) - eyes).T).max() < 0.06 * 73


def test_parts_of_a_video_are_cropped_from_whole_frames(videos, tmp_path):
    """Not from frames that were cropped to the face already, as `read_frames` gives them."""
    (tmp_path / "clip.mp4").write_bytes(videos.face.read_bytes())
    (tmp_path / "mine.csv").write_text("video,subject,emotion,onset,offset\nclip.mp4,a,fear,1,4\n")
    cropped = crop_clips(read_manifest(tmp_path / "mine.csv"), tmp_path / "out", eyes=False, progress=False)
    whole = read_clip(videos.face, size=None, face=False)[1:5]
    expected, placement = crop_frames(whole, eyes=False)
    assert cropped.placements[0].box == placement.box
    np.testing.assert_array_equal(read_frames(read_manifest(cropped.manifest)["frames"][0], None), expected)


def test_a_damaged_video_is_kept_if_told(videos, tmp_path):
    cut = tmp_path / "cut.mp4"
    data = videos.streamed.read_bytes()
    cut.write_bytes(data[: int(0.7 * len(data))])
    with pytest.raises(ValueError, match="ends early"):
        crop_clips(cut, tmp_path / "none", eyes=False, progress=False)
    with pytest.warns(UserWarning, match="ends early"):
        cropped = crop_clips(cut, tmp_path / "kept", eyes=False, damaged="keep", n_jobs=1, progress=False)
    assert len(cropped.placements) == 1
    with pytest.raises(ValueError, match="damaged is 'ignore'"):
        crop_clips(cut, tmp_path / "other", damaged="ignore")
