"""Simulated clips of the harder kind: `simulate(..., difficulty="real")`."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from microexpr import read_casme2, simulate
from microexpr.data import CLASSES, PROPORTIONS, draw_face, read_frames, read_image
from microexpr.data.face_motion import EXPRESSIONS, UNITS, find_landmarks, lids, sides_of, unit_field
from microexpr.data.head_pose import CAMERA, Head, depth, seen, seen_from
from microexpr.data.light import Light, shading
from microexpr.data.real_simulation import REAL, Strengths, code_clips, draw_clip

SMALL = {"subjects": 3, "clips": 9, "frames": (5, 9), "size": (68, 56), "progress": False}
NOTHING = Strengths(*[0] * (len(Strengths._fields) - 1), quality=95)
SIZE = (68, 56)
FACE = draw_face(SIZE, seed=3)
NUMBERS = np.arange(8, 63)  # 0.27 s
ROW = {
    "Subject": 1,
    "Filename": "EP01_01",
    "OnsetFrame": 10,
    "ApexFrame": 35,
    "OffsetFrame": 60,
    "Action Units": "4+7",
    "Estimated Emotion": "disgust",
}

# What `simulate` wrote of the parameters in `test_the_easy_clips_are_what_they_were`.
EASY_ROWS = [
    "1/EP01_01/23/29/31/disgust",
    "1/EP01_02/35/39/43/others",
    "1/EP01_03/13/18/21/disgust",
    "2/EP02_01/61/66/68/others",
    "2/EP02_02/49/53/57/others",
    "3/EP03_01/76/81/82/repression",
    "3/EP03_02/92/96/99/happiness",
]
EASY_MEANS = {
    0: [145.18, 151.78, 150.81, 177.72, 157.15, 186.51],
    40: [121.92, 135.69, 132.57, 162.43, 139.71, 164.33],
    86: [142.54, 144.55, 139.82, 164.2, 147.4, 175.24],
}


def digest(root):
    files = sorted(root.rglob("*.jpg"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def drawn(strengths, seed=0, row=ROW, motion=(0, 0), drift=0, noise=0, face=FACE):
    frames = draw_clip(row, NUMBERS, face, noise, motion, drift, (seed, 0), strengths)
    return np.array(list(frames))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("real") / "data", **SMALL, difficulty="real")


def test_the_same_seed_gives_the_same_files_at_any_number_of_threads(real, tmp_path):
    assert digest(simulate(tmp_path / "a", **SMALL, difficulty="real", n_jobs=1)) == digest(real)
    assert digest(simulate(tmp_path / "b", **SMALL, difficulty="real", seed=1)) != digest(real)


def test_the_easy_clips_are_what_they_were(tmp_path):
    """Means of parts of three frames, as written before there was another difficulty."""
    root = simulate(tmp_path / "data", **SMALL | {"clips": 7})
    sheet = pd.read_excel(root / "CASME2-coding-simulated.xlsx", dtype=str)
    assert ["/".join(row) for row in sheet.values[:, [0, 1, 2, 3, 4, 6]]] == EASY_ROWS
    files = sorted(root.rglob("*.jpg"))
    assert len(files) == 87
    for k, means in EASY_MEANS.items():
        frame = read_image(files[k]).astype(float)
        parts = [part for rows in np.array_split(frame, 2, 0) for part in np.array_split(rows, 3, 1)]
        np.testing.assert_allclose([part.mean() for part in parts], means, atol=0.05)


def test_they_are_read_as_clips_of_casme2(real):
    table = read_casme2(real)
    assert table.attrs["problems"] == []
    assert table.attrs["simulated"]
    assert len(table) == 9
    for row in table.itertuples():
        assert {unit for unit, _ in sides_of(row.action_units)} <= set(UNITS)
        assert read_frames(row.frames, None).shape[1:] == SIZE


def test_small_frames_few_frames_and_as_many_clips_as_people(tmp_path):
    root = simulate(
        tmp_path / "data",
        subjects=2,
        clips=2,
        frames=(2, 2),
        size=(16, 17),
        difficulty="real",
        progress=False,
    )
    assert [len(frames) for frames in read_casme2(root)["frames"]] == [2, 2]


@pytest.mark.parametrize("value", ["hard", None, 1, ["easy"]])
def test_difficulties_that_there_are_not(tmp_path, value):
    with pytest.raises(ValueError, match=r"difficulty is .*; it must be 'easy' or 'real'"):
        simulate(tmp_path / "data", **SMALL, difficulty=value)
    assert not (tmp_path / "data").exists()


def test_coding_has_the_classes_of_casme2_and_uneven_people():
    rows = code_clips(PROPORTIONS, 26, 247, (40, 90), 2, seed=5)
    table = pd.DataFrame(rows)
    assert table["Estimated Emotion"].value_counts().to_dict() == PROPORTIONS
    counts = table["Subject"].value_counts()
    assert len(counts) == 26
    assert counts.max() > 2 * counts.median()
    assert not table.duplicated(["Subject", "Filename"]).any()
    assert table["Filename"].str[2:4].nunique() == 3  # days
    share = table["Action Units"].str.contains("[LR]").mean()
    assert abs(share - REAL.one_sided) < 0.15
    assert (table["OnsetFrame"] < table["ApexFrame"]).all()
    assert (table["ApexFrame"] < table["OffsetFrame"]).all()


def test_labels_are_of_what_moves_but_for_what_people_report():
    def fits(row):
        units = {unit for unit, _ in sides_of(row["Action Units"])}
        return any(units <= set(often.split("+")) for often in EXPRESSIONS[row["Estimated Emotion"]])

    for report in (0.0, 0.5):
        rows = code_clips(PROPORTIONS, 26, 247, (40, 90), 2, 5, REAL._replace(report=report))
        misfits = np.mean([not fits(row) for row in rows])
        assert 0.6 * report * 0.7 <= misfits <= 0.8 * report  # by chance some are of the class


def test_classes_share_what_they_move():
    assert list(EXPRESSIONS) == list(CLASSES)
    units = {emotion: set("+".join(often).split("+")) for emotion, often in EXPRESSIONS.items()}
    assert "4" in units["disgust"] & units["others"]
    assert "12" in units["happiness"] & units["repression"]
    for often in EXPRESSIONS.values():
        assert sum(often.values()) == pytest.approx(1)


def test_without_anything_all_frames_are_the_portrait():
    for frame in drawn(NOTHING):
        np.testing.assert_allclose(frame, FACE, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [("blink", 1.0), ("gaze", 2.0), ("turn", 1.0), ("light", 0.1), ("flicker", 0.01)],
)
def test_what_changes_within_a_clip(name, value):
    changes = [np.ptp(drawn(NOTHING._replace(**{name: value}), seed), axis=0).max() for seed in range(4)]
    assert max(changes) > 1
    assert np.ptp(drawn(NOTHING), axis=0).max() == 0


@pytest.mark.parametrize(("name", "value"), [("crop", 0.03), ("pose", 4.0), ("day", 0.1)])
def test_what_differs_between_days_and_is_alike_within_a_clip(name, value):
    strengths = NOTHING._replace(**{name: value})
    days = [drawn(strengths, row=ROW | {"Filename": f"EP0{day}_01"}) for day in (1, 2)]
    assert np.ptp(days[0], axis=0).max() < 1e-9
    assert np.abs(days[0][0] - days[1][0]).mean() > 1
    again = drawn(strengths, row=ROW | {"Filename": "EP01_07"})
    np.testing.assert_array_equal(again[0], days[0][0])


def test_mouths_move_besides_and_eyes_do_not():
    _, down = find_landmarks(FACE).places(np.mgrid[: SIZE[0], : SIZE[1]].astype(float), SIZE)
    moved = np.zeros(SIZE)
    row = ROW | {"Action Units": "2"}
    for seed in range(5):
        with_it, without = (
            drawn(NOTHING._replace(mouth=value), seed, row, motion=(1, 2)) for value in (1.0, 0.0)
        )
        moved = np.maximum(moved, np.abs(with_it - without).max(axis=0))
    assert moved[down > 0.8].max() > 5
    assert moved[down < 0.2].max() < 0.1


def test_lids_come_down_over_the_eyes_only():
    marks = find_landmarks(FACE)
    across, down = marks.places(np.mgrid[: SIZE[0], : SIZE[1]].astype(float), SIZE)
    for seed in range(20):  # until the lids are shut within the clip
        frames = drawn(NOTHING._replace(blink=1.0), seed)
        t = np.abs(frames - FACE).mean(axis=(1, 2)).argmax()
        iris = (np.hypot((np.abs(across) - 1) / 0.15, down / 0.06) < 1) & (FACE < 100)
        if frames[t][iris].mean() > FACE[iris].mean() + 40:
            break
    else:
        pytest.fail("no eye was shut")
    far = (np.abs(down) > 0.4) | (np.abs(across) < 0.4)
    np.testing.assert_allclose(frames[t][far], FACE[far], atol=1e-9)
    cover, lashes, _ = lids((np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.5, 0.0])), 1.0)
    assert cover.tolist() == [1, 0, 0]
    assert lashes[2] == 0


def test_the_expression_is_as_strong_as_asked_for_at_the_apex():
    """Measured on a face that is a ramp: its grey levels tell where each pixel came from."""
    y = np.mgrid[:128, :128][0].astype(float)
    ramp = 50 + y
    row = ROW | {"Action Units": "1+2"}  # straight up, nearly
    for seed in range(2):
        apex = drawn(NOTHING, seed, row, motion=(1.5, 1.5), face=ramp)[35 - 8]
        assert 1.3 < (apex - ramp).max() < 1.51  # up: from further down


def test_a_side_and_shared_units():
    face = np.mgrid[:128, :128][0].astype(float)
    marks = find_landmarks(draw_face((128, 128), 1))
    places = marks.places(np.mgrid[:128, :128].astype(float), (128, 128))
    right = unit_field("12", (0.0, 1.0), places, np.zeros(2))
    assert np.hypot(*right).max() == pytest.approx(1, abs=0.02)
    assert np.hypot(*right)[:, :50].max() < 0.05
    corner = np.unravel_index(np.hypot(*right).argmax(), face.shape)
    assert right[0][corner] < -0.5  # up
    assert right[1][corner] > 0.5  # and out
    left = unit_field("12", (1.0, 0.0), places, np.zeros(2))
    assert left[1].min() < -0.5
    assert sides_of("L1+L2") == [("1", "L"), ("2", "L")]
    for unit in UNITS:
        field = unit_field(unit, (1.0, 1.0), places, np.zeros(2))
        assert 0.9 < np.hypot(*field).max() < 2


def test_one_sided_clips_move_one_side():
    y = np.mgrid[:128, :128][0].astype(float)
    for side, there in (("L", slice(64, None)), ("R", slice(None, 64))):  # a person's left is on the right
        row = ROW | {"Action Units": f"{side}1+{side}2"}
        moved = drawn(NOTHING, 0, row, motion=(2, 2), face=y + 50)[35 - 8] - y - 50
        assert np.abs(moved[:, there]).max() > 1.8
        assert np.abs(moved).max(axis=0)[there].sum() > 2 * np.abs(moved).max(axis=0).sum() / 3


HEAD = Head(np.array([60.0, 64.0]), 50.0)
POINTS = np.array([[40.0, 60.0, 62.0, 90.0, 20.0], [40.0, 64.0, 66.0, 80.0, 100.0]])


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.1, 0, 0), (0, -0.08, 0), (0, 0, 0.05), (0.1, 0.05, -0.03)])
def test_turns_against_rotation_matrices(turn):
    """Each point set up in space, turned by SciPy, and projected by a pinhole."""
    expected = []
    for down, across in POINTS.T:
        y, x = (down - 60) / 50, (across - 64) / 50
        z = float(depth(np.array(y), np.array(x)))
        point = np.array([x * (1 - z / CAMERA), y * (1 - z / CAMERA), z])
        # right-handed with z towards the camera and y down: yaw to the right turns z into x, pitch z into y
        yaw, pitch, roll = turn
        turned = Rotation.from_euler("y", yaw).apply(point)
        turned = Rotation.from_euler("x", -pitch).apply(turned)
        turned = Rotation.from_euler("z", roll).apply(turned)
        x, y = turned[:2] / (1 - turned[2] / CAMERA)
        expected.append((60 + 50 * y, 64 + 50 * x))
    result = seen(HEAD, np.array(turn, dtype=float), POINTS)
    np.testing.assert_allclose(result, np.transpose(expected), atol=1e-9)
    back = seen_from(HEAD, np.array(turn, dtype=float), result, POINTS + 2)
    np.testing.assert_allclose(back, POINTS, atol=0.05)


def test_a_turn_moves_the_nose_and_leaves_what_is_far_behind():
    nose, far = np.array([[60.0], [64.0]]), np.array([[-90.0], [64.0]])
    yaw = np.array([np.radians(2), 0, 0])
    z = float(depth(np.zeros(1), np.zeros(1))[0])
    moved = (
        50 * z * np.sin(yaw[0]) / (1 - z / CAMERA)
    )  # half width x depth x sine, and what is nearer is larger
    assert 0.7 < z < 0.8
    assert (seen(HEAD, yaw, nose) - nose)[1, 0] == pytest.approx(moved, rel=0.01)
    assert np.abs(seen(HEAD, yaw, far) - far).max() < 0.1


def test_a_landmark_is_drawn_where_the_projection_says():
    """A dot on the cheek, the head turning and nothing else."""
    y, x = np.mgrid[:128, :128]
    face = draw_face((128, 128), 1)
    marks = find_landmarks(face)
    dot = np.array([85.0, 80.0])
    bright = 255 * np.exp(-0.5 * ((y - dot[0]) ** 2 + (x - dot[1]) ** 2) / 4)
    import microexpr.data.real_simulation as module

    strengths = NOTHING._replace(turn=3.0)
    original, module.find_landmarks = module.find_landmarks, lambda _: marks
    try:
        frames = drawn(strengths, 1, face=bright)
        clip = module._clip(np.random.default_rng([6, 1, 0]), ROW, NUMBERS, bright, (0, 0), (1, 0), strengths)
    finally:
        module.find_landmarks = original
    for t in (0, 30, 54):
        expected = seen(clip.head, clip.turns[t], dot[:, None])[:, 0]
        weight = np.where(frames[t] > 20, frames[t], 0)
        centre = [np.average(axis, weights=weight) for axis in (y, x)]
        np.testing.assert_allclose(centre, expected, atol=0.15)
    assert np.abs(seen(clip.head, clip.turns[54], dot[:, None])[:, 0] - dot).max() > 0.5


def test_flicker_alternates_and_light_turns():
    still = Light(slope=0.0, angle=0.0, turn=0.0, change=0.0, flicker=0.01, beat=0.0, phase=0.0)
    hum = [shading(still, t / 200, 0.0, (2, 2))[0, 0] for t in range(4)]
    np.testing.assert_allclose(hum, [1.01, 0.99, 1.01, 0.99])
    moving = still._replace(flicker=0.0, slope=0.1, turn=np.pi / 2)
    first, last = (shading(moving, 0.0, elapsed, (3, 3)) for elapsed in (0.0, 1.0))
    assert first[1, 2] > 1.05  # from the right
    assert first[2, 1] == pytest.approx(1)
    assert last[2, 1] > 1.05  # from below
    assert last[1, 2] == pytest.approx(1)


def test_landmarks_of_drawn_faces():
    for seed in range(10):
        left, right, mouth = find_landmarks(draw_face((112, 92), [4, 1, seed]))
        assert left[1] == right[1] == pytest.approx(0.43, abs=0.04)
        assert [left[0], right[0]] == pytest.approx([0.32, 0.68], abs=0.05)
        assert mouth == pytest.approx((0.5, 0.75), abs=0.05)


def test_a_picture_that_is_all_alike_has_the_usual_places():
    left, right, mouth = find_landmarks(np.full((112, 92), 128.0))
    assert left[0] < 0.45 < 0.55 < right[0]
    assert 0.35 < left[1] == right[1] < 0.5
    assert 0.6 < mouth[1] < 0.85
