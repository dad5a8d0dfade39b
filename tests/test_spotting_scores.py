"""Scores of spotting, against all matchings there are; tables of data sets grouped to long videos."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from microexpr.data import VideoFrames, read_dataset, read_manifest
from microexpr.spotting import Event, long_videos, match, overlap, spot_dataset, spotting_scores

pairs_of_numbers = st.tuples(st.integers(0, 30), st.integers(0, 12))
intervals = st.lists(pairs_of_numbers.map(lambda pair: (pair[0], sum(pair))), max_size=5)


@given(intervals, intervals)
@settings(max_examples=200, deadline=None)
def test_as_many_match_as_can(spotted, coded):
    pairs = match(spotted, coded)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(overlap(spotted[i], coded[j]) >= 0.5 for i, j in pairs)
    short, long = sorted((spotted, coded), key=len)
    most = max(
        sum(overlap(a, b) >= 0.5 for a, b in zip(short, order, strict=True))
        for order in permutations(long, len(short))
    )
    assert len(pairs) == most


@given(pairs_of_numbers, pairs_of_numbers)
def test_overlap_is_that_of_sets_of_frames(one, other):
    a, b = (set(range(begin, begin + length + 1)) for begin, length in (one, other))
    got = overlap((one[0], sum(one)), (other[0], sum(other)))
    assert got == overlap((other[0], sum(other)), (one[0], sum(one))) == len(a & b) / len(a | b)


def test_sums_are_over_all_videos():
    spotted = {"a": [(0, 9), (50, 60), (70, 75)], "b": [(0, 4)], "c": []}
    coded = {"a": [(5, 10), (1, 10)], "c": [(3, 9)], "d": []}
    scores = spotting_scores(spotted, coded)
    assert {name: tuple(counts) for name, counts in scores.by_video.items()} == {
        "a": (1, 2, 1),
        "c": (0, 0, 1),
        "d": (0, 0, 0),
        "b": (0, 1, 0),
    }
    total = scores.total
    assert tuple(total) == (1, 3, 2)
    assert (total.precision, total.recall, total.f1) == (1 / 4, 1 / 3, 2 / 7)
    assert math.isnan(scores.by_video["d"].f1)
    assert str(scores).splitlines()[-1].split() == ["all", "videos", "1", "3", "2", "0.250", "0.333", "0.286"]


def test_events_are_intervals_and_half_is_enough():
    event = Event(0, 4, 9, 0.0, 0.0, 0.0, 1.0)
    assert spotting_scores({"a": [event]}, {"a": [(0, 19)]}).total.tp == 1
    assert spotting_scores({"a": [event]}, {"a": [(0, 20)]}).total.tp == 0
    assert spotting_scores({"a": [event]}, {"a": [(0, 20)]}, least=0.4).total.tp == 1


@pytest.mark.parametrize("least", [0, -1, 1.5, np.nan])
def test_least_out_of_range(least):
    with pytest.raises(ValueError, match="least is"):
        spotting_scores({}, {}, least=least)


def test_an_interval_that_ends_before_it_begins():
    with pytest.raises(ValueError, match="an interval of a begins at frame 5 and ends at 4, before it"):
        spotting_scores({"a": [(5, 4)]}, {})


# ----------------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize(
    ("name", "fps"), [("casme-sq", 30), ("samm-lv", 200), ("smic-e-hs", 100), ("smic-e-vis", 25)]
)
def test_rows_are_grouped_by_the_video_that_they_are_in(make_tree, name, fps):
    table = read_dataset(name, make_tree(name))
    videos = long_videos(table)
    assert sum(len(video.coded) for video in videos) == len(table)
    assert len({video.name for video in videos}) == len(videos)
    assert {video.fps for video in videos} == {fps}
    for row in table.itertuples():
        (video,) = [video for video in videos if video.source[0].parent == row.frames[0].parent]
        assert len(video.source) >= len(row.frames)
        ranges = [video.source[onset : offset + 1] for onset, offset in video.coded]
        assert row.frames in ranges


def test_videos_with_macro_expressions_only_count_too(make_tree):
    table = read_dataset("samm-lv", make_tree("samm-lv"))
    micro = table[2:]
    videos = long_videos(micro, others=table)
    assert len(videos) == len(long_videos(table)) > len(long_videos(micro))
    assert sum(len(video.coded) for video in videos) == len(micro)
    assert {video.source[0].parent for video in videos} == {
        row.frames[0].parent for row in table.itertuples()
    }


def test_folders_need_frames_per_second(tmp_path):
    (tmp_path / "v").mkdir()
    for number in range(4):
        Image.new("L", (16, 16)).save(tmp_path / f"v/{number}.png")
    (tmp_path / "mine.csv").write_text("folder,subject,emotion,onset,offset\nv,1,happy,1,2\n")
    table = read_manifest(tmp_path / "mine.csv")
    with pytest.raises(ValueError, match=r"v is a folder of mine, .*; say it with fps=\.\.\."):
        long_videos(table)
    with pytest.raises(ValueError, match="fps is -1"):
        long_videos(table, fps=-1)
    (video,) = long_videos(table, fps=25)
    assert (video.name, video.fps, video.coded, len(video.source)) == ("1/v", 25, [(1, 2)], 4)
    with pytest.raises(ValueError, match=r"none of the 1 videos .*; the first: 1/v: .*there are 4 frames"):
        spot_dataset([video], progress=False)


def test_parts_of_a_video_file(tmp_path):
    frames = [
        VideoFrames(tmp_path / "a.mp4", 5, 9, face=False),
        VideoFrames(tmp_path / "a.mp4", 20, 29, face=False),
    ]
    table = pd.DataFrame({"dataset": "mine", "subject": "01", "clip": ["x", "y"], "frames": frames})
    (video,) = long_videos(table)
    assert (video.source, video.fps, video.face) == (tmp_path / "a.mp4", None, False)
    assert video.coded == [(5, 9), (20, 29)]


def two_videos_called_a(tmp_path):
    frames = [VideoFrames(tmp_path / day / "a.mp4", 5, 9, face=False) for day in ("one", "two")]
    return pd.DataFrame({"dataset": "mine", "subject": "01", "clip": ["x", "y"], "frames": frames})


def test_videos_of_one_name_are_not_one_video(tmp_path):
    """Scores are by name: of two that have the same the events of one would be lost without a word."""
    videos = long_videos(two_videos_called_a(tmp_path))
    assert [video.name for video in videos] == [
        f"01/a ({tmp_path / day / 'a.mp4'})" for day in ("one", "two")
    ]
    same = [replace(video, name="01/a") for video in videos]
    with pytest.raises(ValueError, match="two videos are called 01/a"):
        spot_dataset(same, progress=False)


def test_what_a_library_makes_of_one_video_stops_no_other(tmp_path, monkeypatch):
    def broken(source, **options):
        raise MemoryError("of\none video") if "one" in str(source) else RuntimeError("of another")

    monkeypatch.setattr("microexpr.spotting.datasets.stream_clip", broken)
    videos = long_videos(two_videos_called_a(tmp_path))
    with pytest.raises(ValueError, match=r"none of the 2 videos .*: MemoryError: of one video"):
        spot_dataset(videos, progress=False)
