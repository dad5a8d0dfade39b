"""Manifests of videos: which frames a row takes, and what is read and kept of them."""

import struct
from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from microexpr import extract
from microexpr.cli import main
from microexpr.data import ClipError, VideoFrames, read_clip, read_frames, read_manifest
from microexpr.store import FeatureStore

SIZE = (24, 24)


def encode(path, n, *, rate=25, times=None, codec="ffv1"):
    """A video whose frame t is of the grey 3 t, at the left, under noise that is always the same."""
    noise = np.random.default_rng(0).integers(0, 20, (24, 32), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "gray" if codec == "ffv1" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t in range(n):
            picture = noise.copy()
            picture[:, :16] += np.uint8(3 * t)
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.pts = round(1000 * (t / rate if times is None else times[t]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write(path, *rows):
    pd.DataFrame(rows).to_csv(path, header=False, index=False)
    return path


HEADER = ["video", "subject", "emotion", "onset", "offset", "onset_s", "offset_s", "apex_s", "fps", "face"]


def row(
    video="a.mkv", onset=None, offset=None, onset_s=None, offset_s=None, apex_s=None, fps=None, subject="s"
):
    return [video, subject, "calm", onset, offset, onset_s, offset_s, apex_s, fps, "no"]


def test_which_frames_a_row_takes(tmp_path):
    encode(tmp_path / "a.mkv", 60)
    path = write(
        tmp_path / "m.csv",
        HEADER,
        row(onset=3, offset=12),
        row(onset=5, offset=12),  # overlaps the first
        row(onset_s="0.8", offset_s="1.6", apex_s="1,2"),  # 25 frames a second
        row(onset_s="0.1", offset_s=0.3, fps=200),  # of a camera that was that fast
        row(),
        row(onset=3, offset=30),  # the same onset: coded twice
    )
    table = read_manifest(path)
    ranges = list(zip(table["onset"], table["offset"], strict=True))
    assert ranges == [(3, 12), (5, 12), (20, 40), (0, 59)]
    assert table["clip"].to_list() == ["a_3", "a_5", "a_20", "a"]
    assert table["apex"].fillna(-1).to_list() == [-1, -1, 30, -1]
    assert table["frames"][0] == VideoFrames(tmp_path / "a.mkv", 3, 12, face=False)
    assert [problem.kind for problem in table.attrs["problems"]] == ["frames", "duplicate"]
    assert "a_20 of a.mkv has offset 60, and the video frames 0 to 59" in table.attrs["problems"][0].what
    frames = read_frames(table["frames"][0], None)
    assert frames.shape == (10, 24, 32)
    assert (frames == read_clip(tmp_path / "a.mkv", size=None, face=False)[3:13]).all()
    np.testing.assert_array_equal(frames[:, 0, 0].astype(int) - frames[0, 0, 0], 3 * np.arange(10))


def test_seconds_of_a_video_whose_rate_changes(tmp_path):
    times = np.concatenate([np.arange(30) / 30, 1 + np.arange(30) / 10])
    encode(tmp_path / "a.mkv", 60, times=times)
    rows = [
        row(onset_s="0.5", offset_s="1.2"),
        row(onset_s="2.01", offset_s="3.9"),
        row(onset_s=1, offset_s="9"),
    ]
    table = read_manifest(write(tmp_path / "m.csv", HEADER, *rows))
    assert list(zip(table["onset"], table["offset"], strict=True)) == [(15, 32), (40, 59)]
    assert "a.mkv ends at 3.900 s, before 9.0 s" in table.attrs["problems"][0].what


def test_seconds_in_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(1, 101):
        (tmp_path / "a" / f"{number:03d}.png").touch()
    header = ["folder", "video", "subject", "emotion", "onset_s", "offset_s", "fps"]
    rows = [
        ["a", None, 1, "calm", "0.1", "0.3", 100],
        ["a", None, 1, "calm", 0.5, 0.6, None],
        ["a", "b", 1, "calm", 0, 1, 9],
    ]
    rows += [
        [None, None, 1, "calm", 0, 1, 9],
        ["a", None, 1, "calm", 0.5, 0.6, 0],
        ["a", None, 1, "calm", "0:05", 0.6, 9],
    ]
    table = read_manifest(write(tmp_path / "m.csv", header, *rows))
    assert list(zip(table["onset"], table["offset"], strict=True)) == [(11, 31)]
    assert [problem.what for problem in table.attrs["problems"]] == [
        "fps is empty; seconds in a folder need it",
        "it names a folder and a video; a clip is of one",
        "folder is empty",
        "fps is 0; it must be positive",
        "onset_s is '0:05'; it must be a number",
    ]


def test_what_is_wrong_with_a_video(tmp_path):
    encode(tmp_path / "a.mkv", 20)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "m").mkdir()
    rows = [
        row("gone.mp4"),
        row("text.mp4"),
        row("../a.mkv"),
        row(onset=9, offset=4),
        row(onset=3, onset_s=1),
        row(onset="1.5"),
        row(),
    ]
    rows[2][0] = "../" + tmp_path.name + "x/a.mkv"
    table = read_manifest(write(tmp_path / "m.csv", HEADER, *rows))
    for problem, words in zip(
        table.attrs["problems"],
        [
            "there is no video gone.mp4",
            "text.mp4 is not a readable video: ",
            "lies outside of the manifest's folder",
            r"clip s/a_9 of a.mkv has 0 frames (onset 9, offset 4)",
            "onset and onset_s are both given",
            "onset is '1.5'; it must be a whole number",
        ],
        strict=True,
    ):
        assert words in str(problem)
    cut = VideoFrames(tmp_path / "a.mkv", 15, 24, face=False)
    with pytest.raises(ClipError, match=r"a\.mkv has 5 of the frames 15 to 24"):
        read_frames(cut)
    with pytest.raises(ValueError, match="box is of images"):
        read_frames(cut, box=(0, 0, 9, 9))


def test_a_face_is_cropped_unless_the_row_says_no(videos, tmp_path):
    (tmp_path / "face.mp4").write_bytes(videos.face.read_bytes())
    rows = [["video", "subject", "emotion", "onset", "offset", "face"]]
    rows += [["face.mp4", 1, "calm", 10, 19, face] for face in (None, "yes")]
    rows += [["face.mp4", 2, "calm", 11, 20, "no"]]
    table = read_manifest(write(tmp_path / "m.csv", *rows))
    assert [frames.face for frames in table["frames"]] == [True, False]
    cropped = read_frames(table["frames"][0], SIZE)
    top, left, side, _ = videos.box
    whole = read_clip(videos.face, face=False, size=None)[10:20]
    near = whole[:, top : top + side, left : left + side].mean()
    assert abs(cropped.mean() - near) < abs(whole.mean() - near)
    assert (
        read_frames(table["frames"][1], None) == read_clip(videos.face, face=False, size=None)[11:21]
    ).all()


def test_a_store_knows_parts_of_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mkv", "b.mkv"):
        encode(tmp_path / name, 40)
    rows = [row(onset=3 + k, offset=12 + k) for k in range(0, 20, 5)] + [row("b.mkv", 3, 12, subject="t")]
    header = [*HEADER, "clip"]
    for k, cells in enumerate(rows):
        cells.append(f"clip{k}")
    path = write(tmp_path / "m.csv", header, *rows)
    arguments = ["extract", "manifest", "m.csv", "--size", "24", "24", "--blocks", "1", "1"]
    assert main(arguments) == 0
    store = FeatureStore("manifest.zarr")
    table = read_manifest(path)
    X = extract(table, blocks=(1, 1), size=SIZE).X
    np.testing.assert_array_equal(store.load((1, 1), table), X)
    assert (store.table["n_frames"] == 10).all()

    def computed():
        return extract(read_manifest(path), "manifest.zarr", blocks=(1, 1), size=SIZE).n_computed

    assert computed() == 0
    (tmp_path / "a.mkv").touch()  # another time, the same content
    assert computed() == 0
    rows[1][3] += 1  # a corrected onset, in the same file
    write(path, header, *rows)
    assert computed() == 1
    encode(tmp_path / "b.mkv", 41)
    assert computed() == 1


def test_a_video_that_is_turned_and_one_that_is_cut(tmp_path):
    encode(tmp_path / "a.mp4", 20, codec="mpeg4")
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    at = data.index(b"tkhd") + 44
    for offset, entry in zip((0, 4, 12, 16), (0, 1, -1, 0), strict=True):  # a quarter turn
        struct.pack_into(">i", data, at + offset, entry << 16)
    (tmp_path / "turned.mp4").write_bytes(data)
    encode(tmp_path / "cut.mkv", 40)
    whole = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    rows = [row("turned.mp4", 3, 12), row("cut.mkv", 2, 9), row("a.mp4", 3, 12)]
    table = read_manifest(write(tmp_path / "m.csv", HEADER, *rows))
    turned = read_frames(table["frames"][0], None)
    assert turned.shape == (10, 32, 24)
    assert (turned == read_clip(tmp_path / "turned.mp4", size=None, face=False)[3:13]).all()
    clips = extract(table, blocks=(1, 1), size=SIZE, stabilise="tiles", blur=0.5)
    (problem,) = clips.problems
    assert "cut.mkv ends early" in str(problem)
    assert "damaged=" not in str(problem)  # nothing of a manifest takes it
    assert len(clips.X) == 2
