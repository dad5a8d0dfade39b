"""`microexpr spot` and `microexpr simulate --long`, as they are typed."""

import csv
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from microexpr import cli
from microexpr.data import simulate_long
from microexpr.spotting import spotting_scores

SMALL = {
    "videos": 2,
    "seconds": 12,
    "fps": 40,
    "expressions": 3,
    "size": (64, 64),
    "drift": 0.1,
    "noise": 0.5,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return simulate_long(tmp_path_factory.mktemp("cli") / "long", **SMALL, video=True, progress=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words):
    status = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_video(manifest, here, capsys):
    video = manifest.with_name("video01.mp4")
    status, out, _ = run(capsys, "spot", video, "--no-face")
    assert status == 0
    assert "480 frames at 40 a second, 12.0 s" in out
    table = rows(here / "video01-spotted.csv")
    assert table
    assert all(int(row["onset"]) < int(row["apex"]) < int(row["offset"]) for row in table)
    assert float(table[0]["apex_s"]) == int(table[0]["apex"]) / 40
    shown = [line.split() for line in out.splitlines() if line[:3].strip().isdigit()]
    assert [line[1:4] for line in shown] == [
        [row[name] for name in ("onset", "apex", "offset")] for row in table
    ]
    assert (here / "video01-spotted.png").stat().st_size > 10_000
    status, out, _ = run(capsys, "spot", video, "--no-face", "--json", "--out", here / "again")
    report = json.loads(out)
    assert (report["frames"], report["fps"], report["k"]) == (480, 40.0, 9)
    assert [event["apex"] for event in report["events"]] == [int(row["apex"]) for row in table]
    assert (here / "again.png").is_file()


def test_a_data_set_is_scored(manifest, here, capsys):
    status, out, _ = run(capsys, "spot", "manifest", manifest, "--json", "--out", here / "scored")
    assert status == 0
    report = json.loads(out)
    assert report["simulated"]
    spotted = {name: [(e["onset"], e["offset"]) for e in v["events"]] for name, v in report["videos"].items()}
    scores = spotting_scores(spotted, {name: v["coded"] for name, v in report["videos"].items()})
    assert [report["total"][name] for name in ("tp", "fp", "fn")] == list(scores.total)
    assert report["total"]["f1"] == scores.total.f1 >= 0.6
    assert {row["video"] for row in rows(here / "scored.csv")} <= set(report["videos"])
    status, out, _ = run(capsys, "spot", "manifest", manifest, "--method", "difference", "--jobs", "1")
    assert status == 0
    assert "SIMULATED videos, not real micro-expressions" in out
    assert out.splitlines()[-3].startswith("all videos")


def test_a_folder_needs_its_rate(here, capsys):
    status, out, _ = run(
        capsys,
        *("simulate", "long", "--long", "--videos", 1, "--seconds", 4, "--fps", 20, "--expressions", 1),
        *("--size", 32, 32, "--drift", 0, "--jobs", 1),
    )
    assert status == 0
    assert "`microexpr spot manifest long/long-simulated.csv --fps 20`" in out.replace("\\", "/")
    assert run(capsys, "spot", "long/video01")[::2] == (
        2,
        "microexpr spot: long/video01: nothing says how many frames a second has; say it with --fps ...\n",
    )
    status, out, _ = run(capsys, "spot", "long/video01", "--fps", 20, "--threshold", 99)
    assert status == 0
    assert "no micro-expression found" in out
    assert rows("video01-spotted.csv") == []
    status, _, err = run(capsys, "spot", "manifest", "long/long-simulated.csv")
    assert status == 2
    assert "say it with --fps ..." in err
    (here / "long/video01/img000040.jpg").write_bytes(b"damaged")
    status, _, err = run(capsys, "spot", "long/video01", "--fps", 20)
    assert status == 2
    assert "img000040.jpg is not a readable image" in err


def test_with_a_model_each_event_has_a_class(manifest, here, capsys, monkeypatch):
    class Recogniser:
        def classify(self, frames):
            assert frames.shape[1:] == (128, 128)
            return SimpleNamespace(
                label="disgust", probability=0.75, probabilities={"disgust": 0.75}, decision={}, unlike=True
            )

        @classmethod
        def load(cls, path):
            assert path == "mine.skops"
            return cls()

    module = ModuleType("microexpr.recognition")
    module.Recogniser = Recogniser
    monkeypatch.setitem(sys.modules, "microexpr.recognition", module)
    video = manifest.with_name("video01.mp4")
    status, out, _ = run(capsys, "spot", video, "--no-face", "--model", "mine.skops")
    assert status == 0
    assert "disgust (75 %), unlike anything trained on" in out
    assert {(row["label"], row["probability"], row["unlike"]) for row in rows("video01-spotted.csv")} == {
        ("disgust", "0.75", "True")
    }
    status, out, _ = run(capsys, "spot", video, "--no-face", "--model", "mine.skops", "--json")
    assert json.loads(out)["events"][0]["probabilities"] == {"disgust": 0.75}


def test_one_video_of_a_data_set_that_is_damaged_stops_no_other(manifest, here, capsys):
    for path in manifest.parent.iterdir():
        data = path.read_bytes()
        (here / path.name).write_bytes(data)
    data = bytearray((here / "video02.mp4").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    (here / "video02.mp4").write_bytes(data)
    status, out, _ = run(capsys, "spot", "manifest", here / manifest.name)
    assert status == 1
    assert "1 videos could not be read" in out or "1 video could not be read" in out
    assert "02/video02: " in out
    assert "01/video01" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("spot", "absent.mp4"), "absent.mp4: no such file or folder"),
        (("spot", "a", "b", "c"), "spot in what? Give VIDEO, or DATASET ROOT"),
        (("spot", "casme9", "."), "'casme9' is not a data set"),
        (("spot", "v.mp4", "--sheet", "x"), "--sheet is of a data set: give DATASET ROOT"),
        (("spot", "casme-sq", ".", "--model", "m"), "--model is of one video"),
        (("spot", "casme-sq", ".", "--no-face"), "--face is of one video"),
        (("spot", "v.mp4", "--out", "no/such/prefix"), "no such folder to write into"),
        (("simulate", "out", "--seconds", "5"), "--seconds is of long videos: give --long"),
        (("simulate", "out", "--video"), "--video is of long videos: give --long"),
        (("simulate", "out", "--long", "--clips", "5"), "--clips is of clips, and has no part in --long"),
        (
            ("simulate", "out", "--long", "--difficulty", "real"),
            "--difficulty is of clips, and has no part in --long",
        ),
    ],
)
def test_what_is_typed_wrong(words, message, here, capsys):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--p", "2"), "--p is 2.0; it must be 0 to 1"),
        (("--longest", "0.01", "--shortest", "0", "--smooth", "0"), "--longest is 0.01 s, 0 frames at 40"),
        (("--fps", "-1"), "--fps is -1.0; it must be a positive number of frames in a second"),
        (("--longest", "7"), "there are 480 frames, 12.00 s; the contrast of one needs"),
    ],
)
def test_what_is_out_of_range_is_said_in_the_words_of_the_command_line(
    manifest, here, capsys, words, message
):
    status, _, err = run(capsys, "spot", manifest.with_name("video01.mp4"), "--no-face", *words)
    assert status == 2
    assert message in err


def test_a_video_without_a_face(videos, here, capsys):
    status, _, err = run(capsys, "spot", videos.texture)
    assert status == 2
    assert "texture.mp4: no face found in the" in err
    assert "--no-face" in err
