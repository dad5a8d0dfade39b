"""Simulated data sets, and the reader and extraction that they go through as the real ones do."""

import hashlib
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from microexpr import describe, extract, read_casme2, simulate
from microexpr.data import CLASSES, PROPORTIONS, ClipError, draw_face, motion_field, read_frames, read_image

SMALL = {"subjects": 3, "clips": 7, "frames": (5, 9), "size": (68, 56)}
NAN, INF = np.nan, np.inf
HOSTILE = {
    "subjects": [NAN, 2.5, "2", None, True, 10**9],
    "clips": [NAN, 7.5, "7", None, 10**9],
    "noise": [INF, 1e300, "1", None, True],
    "motion": [NAN, 3, None, (1,), (1, 2, 3), (0, INF), (0, 1e300), (NAN, 1), ("0", "1")],
    "drift": [NAN, INF, 1e300, "x", None],
    "frames": [NAN, 5, None, (5,), (5, NAN), (5, INF), (2.5, 3.5), (5, 9, 9), ("5", "9"), (5, 10**9)],
    "size": [NAN, 68, None, (68,), (68, 56.5), (68, 56, 3), ("68", "56"), (10**7, 10**7)],
    "seed": [-1, NAN, 1.5, None, "a", [1, 2]],
}
SHEET = "CASME2-coding-simulated.xlsx"


def digest(root):
    files = sorted(path for path in root.rglob("*.jpg"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("small") / "data", **SMALL)


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "data")


def rewrite(root, change):
    sheet = pd.read_excel(root / SHEET, dtype=object)
    change(sheet)
    sheet.to_excel(root / SHEET, index=False)


def test_layout(small):
    sheet = pd.read_excel(small / SHEET)
    assert len(sheet) == 7
    assert sorted(sheet["Subject"].unique()) == [1, 2, 3]
    assert set(sheet["Estimated Emotion"]) <= set(CLASSES)
    for row in sheet.itertuples():
        assert row.OnsetFrame < row.ApexFrame < row.OffsetFrame
        assert 5 <= row.OffsetFrame - row.OnsetFrame + 1 <= 9
        folder = small / "Cropped" / f"sub{row.Subject:02d}" / row.Filename
        # frames are there before the onset and after the offset, as in the real data set
        assert (folder / f"reg_img{row.OnsetFrame - 1}.jpg").exists()
        assert (folder / f"reg_img{row.OffsetFrame + 1}.jpg").exists()
    with Image.open(next(small.rglob("*.jpg"))) as image:
        assert image.format == "JPEG"
        assert image.mode == "RGB"
        assert image.size == (56, 68)


def test_class_proportions(tmp_path):
    root = simulate(tmp_path / "data", subjects=4, clips=247, frames=(2, 2), size=(16, 16))
    sheet = pd.read_excel(root / SHEET)
    assert sheet["Estimated Emotion"].value_counts().to_dict() == PROPORTIONS
    assert sheet["Subject"].value_counts().between(61, 62).all()


def test_the_same_seed_gives_the_same_files_at_any_number_of_threads(small, tmp_path):
    assert digest(simulate(tmp_path / "a", **SMALL, n_jobs=1)) == digest(small)
    assert digest(simulate(tmp_path / "b", **SMALL, seed=1)) != digest(small)


def test_portraits_as_subjects(tmp_path, portraits):
    check_portraits(tmp_path, portraits, "{}.pgm")


def test_real_portraits_as_subjects(tmp_path, real_data):
    check_portraits(tmp_path, real_data / "faces", "{:02d}.pgm")


def check_portraits(tmp_path, faces, name):
    root = simulate(
        tmp_path / "data", faces=faces, **SMALL | {"noise": 0.0, "motion": (0.0, 0.0), "drift": 0.0}
    )
    table = read_casme2(root)
    for row in table.itertuples():
        portrait = read_image(faces / name.format(int(row.subject)), (68, 56)).astype(float)
        frames = read_frames(row.frames, None).astype(float)
        # all that is left is the change of light: the same portrait in each frame
        assert np.corrcoef(portrait.ravel(), frames[0].ravel())[0, 1] > 0.98
        moved = frames[-1] - frames[0]
        assert np.std(moved) < 1.5


@pytest.mark.parametrize("emotion", CLASSES)
def test_motion_field_peaks_at_one(emotion):
    field = motion_field(emotion, (90, 70))
    assert field.shape == (2, 90, 70)
    assert np.hypot(*field).max() == pytest.approx(1)


def test_what_moves_where():
    size = (100, 100)
    down = {emotion: motion_field(emotion, size)[0] for emotion in CLASSES}
    across = {emotion: motion_field(emotion, size)[1] for emotion in CLASSES}
    assert down["surprise"][:50].min() < -0.9
    assert np.abs(down["surprise"][70:]).max() < 0.01
    assert down["happiness"][60:].min() < -0.5
    assert np.abs(down["happiness"][:40]).max() < 0.01
    assert down["disgust"][50:75, 40:60].min() < -0.9  # nose and upper lip up
    assert down["repression"][85:].min() < -0.5
    assert down["repression"][70:80].max() > 0.3
    assert across["others"][:, :50].max() > 0.5
    assert across["others"][:, 50:].min() < -0.5


def test_frames_move_by_the_amplitude_asked_for(tmp_path):
    """A bright dot on the brow goes up until the apex, by `motion` pixels of a 128 x 128 frame."""
    (tmp_path / "faces").mkdir()
    y, x = np.mgrid[:200, :160]
    centre = np.array([0.34 * 200, 0.31 * 160])
    dot = 255 * np.exp(-0.5 * (((y - centre[0]) / 2) ** 2 + ((x - centre[1]) / 2) ** 2))
    for name in ("1.png", "2.png"):
        Image.fromarray(dot.astype(np.uint8)).save(tmp_path / "faces" / name)
    root = simulate(
        tmp_path / "data",
        subjects=2,
        clips=40,
        faces=tmp_path / "faces",
        noise=0,
        drift=0,
        motion=(2, 2),
        frames=(9, 9),
        size=(200, 160),
    )
    table = read_casme2(root)
    shifts = []
    for row in table[table["emotion"] == "surprise"].itertuples():
        frames = read_frames([row.frames[0], row.frames[row.apex - row.onset]], None).astype(float)
        rest, apex = (np.average(y, weights=np.where(frame > 40, frame, 0)) for frame in frames)
        shifts.append(apex - rest)
    assert len(shifts) >= 2
    np.testing.assert_allclose(np.median(shifts), -2 * 200 / 128, atol=0.3)


def test_faces_differ_by_seed():
    assert np.abs(draw_face((68, 56), 1) - draw_face((68, 56), 2)).mean() > 5
    np.testing.assert_array_equal(draw_face((68, 56), 1), draw_face((68, 56), 1))


def test_no_two_of_26_subjects_look_alike():
    """As the subjects of a data set are drawn: other features, other skin."""
    faces = np.array([draw_face((68, 56), [0, 1, subject]).ravel() for subject in range(26)])
    correlations = np.corrcoef(faces)[~np.eye(26, dtype=bool)]
    assert correlations.max() < 0.97
    assert min(abs(a - b).mean() for i, a in enumerate(faces) for b in faces[:i]) > 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subjects": 1}, "subjects is 1; it must be between 2"),
        ({"clips": 2}, "clips is 2; 3 subjects need at least 3"),
        ({"noise": -1}, "noise is -1"),
        ({"noise": np.nan}, "noise is nan"),
        ({"motion": (2, 1)}, r"motion is \(2, 1\)"),
        ({"drift": -0.1}, r"drift is -0\.1"),
        ({"frames": (1, 5)}, r"frames is \(1, 5\)"),
        ({"size": (8, 80)}, r"size is \(8, 80\)"),
        *((({name: value}), f"{name} is ") for name, values in HOSTILE.items() for value in values),
        ({"n_jobs": 0}, "n_jobs == 0"),
    ],
)
def test_bad_parameters(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path / "data", **SMALL | change)
    assert not (tmp_path / "data").exists()


def test_never_writes_into_a_folder_that_holds_something(tmp_path):
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        simulate(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("module", ["pandas", "openpyxl"])
def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"^simulating .* needs {module}; .*microexpr\[datasets\]$"
    ):
        simulate(tmp_path / "data", **SMALL)
    assert not (tmp_path / "data").exists()


def test_too_few_portraits(tmp_path, portraits):
    with pytest.raises(ValueError, match="holds 26 portraits; 30 subjects need 30"):
        simulate(tmp_path / "data", **SMALL | {"subjects": 30, "clips": 30}, faces=portraits)


def test_read_casme2(small):
    table = read_casme2(small)
    assert table.attrs["problems"] == []
    assert len(table) == 7
    for row in table.itertuples():
        numbers = [int(path.stem.removeprefix("reg_img")) for path in row.frames]
        assert numbers == list(range(row.onset, row.offset + 1))


def test_raw_frames_without_the_prefix(copy):
    for path in sorted(copy.rglob("reg_img*.jpg")):
        path.rename(path.with_name(path.name.removeprefix("reg_")))
    assert len(read_casme2(copy)) == 7


def test_each_problem_is_reported_and_the_rest_goes_on(copy):
    def damage(sheet):
        sheet.loc[0, "ApexFrame"] = "/"  # not a problem: the real spreadsheet has them
        sheet.loc[1, "OffsetFrame"] = sheet.loc[1, "OnsetFrame"]
        sheet.loc[2, "OffsetFrame"] += 50
        sheet.loc[3, "OnsetFrame"] = "/"
        sheet.loc[4, "Filename"] = "EP99_99"
        sheet.loc[5, "Estimated Emotion"] = None

    rewrite(copy, damage)
    table = read_casme2(copy)
    assert len(table) == 2
    assert pd.isna(table["apex"][0])
    assert table["apex"][1] > 0
    problems = table.attrs["problems"]
    for problem, words in zip(
        map(str, problems),
        [
            "row 3: clip sub01/EP01_02 has 1 frame",
            "lacks 48 of its",
            "row 5: OnsetFrame is '/'",
            "row 6: ",
            "row 7: ",
        ],
        strict=True,
    ):
        assert words in problem
        assert problem.startswith(SHEET)
    with pytest.raises(ValueError, match="row 3"):
        read_casme2(copy, strict=True)


def test_a_frame_number_with_a_fraction_is_not_rounded(copy):
    rewrite(copy, lambda sheet: sheet.isetitem(2, [46.5, *sheet["OnsetFrame"][1:]]))
    (problem,) = read_casme2(copy).attrs["problems"]
    assert str(problem) == f"{SHEET}, row 2: OnsetFrame is 46.5; it must be a whole number"


def test_no_data_set(tmp_path, copy):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_casme2(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds 0 spreadsheets"):
        read_casme2(tmp_path / "empty")
    rewrite(copy, lambda sheet: sheet.pop("OnsetFrame"))
    with pytest.raises(ValueError, match="has no column OnsetFrame"):
        read_casme2(copy)
    shutil.rmtree(copy / "Cropped")
    rewrite(copy, lambda sheet: sheet.insert(0, "OnsetFrame", 3))
    with pytest.raises(FileNotFoundError, match="no folders sub01"):
        read_casme2(copy)


def test_extract_is_describe_of_each_clip(small):
    table = read_casme2(small)
    clips = extract(table, blocks=(4, 4))
    X, kept = clips.X, clips.table
    assert X.shape == (7, 4 * 4 * 256)
    assert kept.equals(table)
    for row, u in zip(table.itertuples(), X, strict=True):
        np.testing.assert_array_equal(u, describe(read_frames(row.frames), blocks=(4, 4)))


def test_a_damaged_frame_leaves_out_its_clip_only(copy):
    table = read_casme2(copy)
    broken = table["frames"][2][1]
    broken.write_bytes(broken.read_bytes()[:300])
    clips = extract(table, blocks=(2, 2))
    X, kept = clips.X, clips.table
    assert len(X) == len(kept) == 6
    assert table["clip"][2] not in kept[kept["subject"] == table["subject"][2]]["clip"].to_list()
    (problem,) = map(str, clips.problems)
    assert problem.startswith(f"clip sub{table['subject'][2]}/{table['clip'][2]}: {broken}")
    for path in copy.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no clip could be described"):
        extract(table)
    with pytest.raises(ClipError):
        read_frames(table["frames"][0])
