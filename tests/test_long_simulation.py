"""Simulated long videos: written, read back, spotted in and scored."""

import csv
import hashlib

import numpy as np
import pytest

from microexpr.data import CLASSES, image_paths, read_image, read_manifest, simulate_long, stream_clip
from microexpr.spotting import long_videos, spot_dataset, spotting_scores

SMALL = {"videos": 2, "seconds": 16, "fps": 40, "expressions": 4, "size": (64, 64), "drift": 0.1}
SMALL |= {"noise": 0.5, "blinks": 20, "progress": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return simulate_long(tmp_path_factory.mktemp("long") / "folders", **SMALL)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return simulate_long(tmp_path_factory.mktemp("long") / "files", **SMALL, video=True)


def rows(manifest):
    with open(manifest, newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_written(folders):
    assert folders.name == "long-simulated.csv"
    assert sorted(path.name for path in folders.parent.iterdir()) == [folders.name, "video01", "video02"]
    for folder in ("video01", "video02"):
        assert len(image_paths(folders.parent / folder)) == 640
        coded = [row for row in rows(folders) if row["folder"] == folder]
        assert len(coded) == 4
        end = 0
        for row in coded:
            onset, apex, offset = (int(row[name]) for name in ("onset", "apex", "offset"))
            assert end + 40 - 1 <= onset < apex < offset <= 640 - 40 + 1  # a second of pause
            assert 0.2 * 40 - 1 <= offset - onset <= 0.5 * 40 + 1
            assert row["emotion"] in CLASSES
            end = offset


def test_the_face_moves_from_onset_to_offset_and_is_at_rest_again(tmp_path):
    still = {**SMALL, "videos": 1, "blinks": 0, "noise": 0, "drift": 0, "motion": (4, 4)}
    manifest = simulate_long(tmp_path / "still", **still)
    frames = [read_image(path).astype(float) for path in image_paths(tmp_path / "still/video01")]
    for row in rows(manifest):
        onset, apex, offset = (int(row[name]) for name in ("onset", "apex", "offset"))
        between = abs(frames[onset] - frames[offset]).mean()
        assert abs(frames[apex] - frames[onset]).mean() > 3 * between
        assert abs(frames[apex] - frames[offset]).mean() > 3 * between


def test_files_hold_the_frames_of_the_folders(folders, files):
    """The same faces and movements; a JPEG loses a little."""
    stripped = [[{**row, "folder": "", "video": ""} for row in rows(path)] for path in (folders, files)]
    assert stripped[0] == stripped[1]
    stream = stream_clip(files.parent / "video02.mp4", size=None, face=False, progress=False)
    assert (stream.count, stream.fps, stream.uneven) == (640, 40.0, False)
    for frame, path in zip(stream, image_paths(folders.parent / "video02"), strict=True):
        assert abs(frame.astype(int) - read_image(path)).mean() < 2


def test_the_same_seed_writes_the_same(folders, tmp_path):
    def digest(root):
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    few = {**SMALL, "seconds": 8, "expressions": 2, "fps": 10}
    one, same, other = (
        simulate_long(tmp_path / name, **few, seed=seed, n_jobs=jobs).parent
        for name, seed, jobs in (("one", 3, 1), ("same", 3, 2), ("other", 4, 1))
    )
    assert digest(one) == digest(same)
    assert not set(digest(one)) & set(digest(other))


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_most_are_spotted_and_chance_spots_few(kind, request):
    """By default 2 of the 8 may be missed and 2 more spotted; a thousand random guesses have F1 below 0.4."""
    table = read_manifest(request.getfixturevalue(kind))
    assert table.attrs["simulated"]
    assert table.attrs["problems"] == []
    videos = long_videos(table, fps=40 if kind == "folders" else None)
    assert [len(video.coded) for video in videos] == [4, 4]
    result = spot_dataset(videos, progress=False)
    assert result.problems == []
    assert result.scores.total.f1 >= 0.75
    rng, coded = np.random.default_rng(0), {video.name: video.coded for video in videos}
    chance = []
    for _ in range(1000):
        begins = {video.name: rng.integers(0, 620, 4) for video in videos}
        guessed = {name: [(int(a), int(a) + 14) for a in begin] for name, begin in begins.items()}
        chance.append(spotting_scores(guessed, coded).total.f1)
    assert np.quantile(chance, 0.99) < 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"videos": 0}, "videos is 0; it must be 1 to 99"),
        ({"videos": True}, "videos is True"),
        ({"fps": 0}, "fps is 0; it must be 10 to 1000"),
        ({"fps": np.nan}, "fps is nan"),
        ({"seconds": np.inf}, "seconds is inf"),
        ({"seconds": 5}, "seconds is 5; 4 expressions with pauses between them need 7 s"),
        ({"expressions": 2.5}, "expressions is 2.5"),
        ({"blinks": -1}, "blinks is -1; it must be 0 to 60 in a minute"),
        ({"noise": np.nan}, "noise is nan"),
        ({"motion": (2, 1)}, "motion is"),
        ({"drift": "x"}, "drift is 'x'"),
        ({"size": (8, 8)}, "size is"),
        ({"size": (65, 64), "video": True}, "height and width must be even"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_parameters_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        simulate_long(tmp_path / "out", **{**SMALL, **options})
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused(folders):
    with pytest.raises(FileExistsError, match="not an empty folder"):
        simulate_long(folders.parent, **SMALL)
