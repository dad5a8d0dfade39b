"""docs/ltogp_texture.py: that its table is honest. Who wins is for the table to say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.feature import local_binary_pattern

import ltogp

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("ltogp_texture", ROOT / "docs" / "ltogp_texture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """A folder of "portraits" that tell left from right: pieces of scikit-image's textures, much enlarged."""
    folder = tmp_path_factory.mktemp("portraits")
    for k in range(12):
        piece = (data.brick, data.grass, data.gravel)[k % 3]()[40 * k : 40 * k + 28, 30 * k : 30 * k + 12]
        half = np.asarray(Image.fromarray(piece).resize((46, 112)))
        Image.fromarray(np.concatenate([half[:, ::-1], half], axis=1)).save(folder / f"{k:02}.png")
    (folder / "README").touch()
    return folder


def rows(printed):
    """Return the table's columns and lines, split where two spaces or more stand."""
    head, *lines = (line.split("  ") for line in printed.splitlines())
    return [[cell.strip() for cell in line if cell.strip()] for line in (head, *lines)]


def test_table(example, capsys, portraits):
    check_table(example, capsys, portraits, 12)


def test_table_of_the_orl_portraits(example, capsys, real_data):
    check_table(example, capsys, real_data / "faces", 26)


def check_table(example, capsys, folder, subjects):
    example.main([str(folder)])
    head, *lines = rows(capsys.readouterr().out)
    assert head == ["task", "blocks", "classes", "tested", "chance", *example.DESCRIPTORS]
    assert [line[0] for line in lines] == [
        "textures, 8 x 8",
        "textures, 16 x 16",
        "textures, 32 x 32",
        *["faces, half a face"] * 3,
    ]
    tested = [2 * 3 * (512 // size) * (256 // size) for size in (8, 16, 32)] + [2 * subjects] * 3
    assert [int(line[3]) for line in lines] == tested
    for _, blocks, classes, _, chance, *accuracies in lines:
        assert len(blocks.split(" x ")) == 2
        assert chance == f"{1 / int(classes):.1%}"
        assert len(accuracies) == 4
        for accuracy in accuracies:
            assert float(chance[:-1]) < float(accuracy[:-1]) <= 100


def test_without_faces_it_prints_textures_only_and_the_same_again(example, capsys, monkeypatch):
    quick = list(example.texture_tasks())[-1:]
    monkeypatch.setattr(example, "texture_tasks", lambda: quick)
    printed = []
    for _ in range(2):
        example.main([])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 2


def test_train_and_test_share_no_pixel(example, monkeypatch):
    # Pictures whose pixels are all different say where each pixel of a patch comes from.
    for k, name in enumerate(("brick", "grass", "gravel")):
        picture = np.arange(512 * 512).reshape(512, 512) + k * 512 * 512
        monkeypatch.setattr(example.data, name, lambda picture=picture: picture)
    for task in example.texture_tasks():
        train, test = task.halves
        assert len(train) == len(test) == len(task.labels)
        assert np.intersect1d(train, test).size == 0
        for half in task.halves:
            assert len(np.unique(half)) == half.size  # no pixel in two patches
            np.testing.assert_array_equal(half[:, 0, 0] // 512**2, task.labels)


def test_face_halves_are_of_one_face(example, portraits):
    for task in example.face_tasks(portraits):
        left, right = task.halves
        assert left.shape == right.shape == (12, 112, 46)
        face = np.concatenate([left[3, :, ::-1], right[3]], axis=1)
        np.testing.assert_array_equal(face, np.asarray(Image.open(portraits / "03.png")))
        np.testing.assert_array_equal(task.labels, np.arange(12))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "no-such-folder is not a folder of portraits; the ORL database is at https://cam-orl.co.uk/"),
        ({}, "holds 0 portraits; it must hold two or more of one size"),
        ({"a.png": (9, 9)}, "holds 1 portraits; it must hold two or more of one size"),
        ({"a.png": (9, 9), "b.png": (9, 8)}, "holds 2 portraits of several sizes; it must hold two or more"),
        ({"a.png": None, "b.png": (9, 8)}, "cannot identify image file"),
    ],
)
def test_without_portraits_it_says_so_in_one_line(example, capsys, tmp_path, files, message):
    for name, shape in (files or {}).items():
        if shape is None:
            (tmp_path / name).touch()
        else:
            Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / name)
    with pytest.raises(SystemExit) as left:
        example.main([str(tmp_path / "no-such-folder" if files is None else tmp_path)])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_help_does_nothing_else(example, capsys, monkeypatch):
    monkeypatch.setattr(example, "texture_tasks", None)
    with pytest.raises(SystemExit) as left:
        example.main(["--help"])
    assert left.value.code == 0
    assert "cam-orl.co.uk/facedatabase.html" in capsys.readouterr().out


def test_a_descriptor_that_sees_nothing_is_at_chance(example):
    task = list(example.texture_tasks())[-1]
    assert example.accuracy(lambda images, blocks: np.ones((len(images), 4)), task) == pytest.approx(1 / 3)


def test_a_descriptor_that_knows_is_always_right(example, portraits):
    task = next(iter(example.face_tasks(portraits)))
    assert example.accuracy(lambda images, blocks: 10.0 * np.arange(12)[:, None], task) == 1


@pytest.mark.parametrize("blocks", [(1, 1), (3, 2), (7, 5)])
def test_blocks_are_those_of_ltogp(example, blocks):
    images = np.random.default_rng(0).integers(0, 256, (3, 23, 37), dtype=np.uint8)
    ours = example.count(ltogp.encode(images).astype(np.intp), blocks)
    np.testing.assert_array_equal(ours, ltogp.histogram(images, blocks))
    assert ours.dtype == np.float32


@pytest.mark.parametrize("radius", [1, 2])
def test_lbp_is_that_of_scikit_image(example, radius):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40), dtype=np.uint8)
    inside = slice(radius, -radius)
    counts = example.lbp_histogram(images, (1, 1), radius=radius)
    assert (counts.sum(axis=1) == 1600).all()
    for image, bins in zip(images, counts, strict=True):
        codes = local_binary_pattern(image, 8, radius)[inside, inside].astype(int)
        least = np.bincount(codes.ravel(), minlength=256)  # borders apart, the codes are these
        assert (least <= bins).all()
