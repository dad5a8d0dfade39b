"""Fixtures of more than one test module."""

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

LEFT_OUT = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def real_data():
    """The folder that MICROEXPR_DATA names: data that may not be copied into this repository.

    Tests that use it are an extra, marked `data`: the others must not leave anything untested without them.
    """
    folder = os.environ.get("MICROEXPR_DATA")
    if not folder:
        pytest.skip("MICROEXPR_DATA does not name a folder of real data")
    if not Path(folder).is_dir():
        pytest.fail(f"MICROEXPR_DATA is {folder}, which is not a folder")
    return Path(folder)


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)
    if not os.environ.get("MICROEXPR_DATA"):
        left_out = [item for item in items if item.get_closest_marker("data")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("data")]
        config.stash[LEFT_OUT] = len(left_out)


def pytest_report_collectionfinish(config):
    if config.stash.get(LEFT_OUT, 0):
        return f"{config.stash[LEFT_OUT]} tests are left out: MICROEXPR_DATA names no folder of real data"
    return []


@pytest.fixture
def eight_threads(monkeypatch):
    """Ltogp works on eight threads, however few CPUs there are and however small the images."""
    from ltogp import _checks, _threads

    monkeypatch.setattr(_threads, "thread_limit", lambda: 8)
    monkeypatch.setattr(_threads, "shared_pool", None)
    monkeypatch.setattr(_checks, "_SMALL", 0)


class Videos(NamedTuple):
    """H.264 videos of 360 x 640 pixels, 25 frames a second."""

    face: Path  # a face in front of bricks, 72 frames; its index lies at the end of the file
    streamed: Path  # the same, its index at the beginning
    texture: Path  # 24 frames of grass: no face
    box: tuple[int, int, int, int]  # top, left, height, width of her face, brows to chin


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Videos of scikit-image's astronaut (NASA, public domain), her brows raised as `simulate` does it."""
    from skimage import data

    from microexpr.data import motion_field

    folder = tmp_path_factory.mktemp("videos")
    bricks = np.pad(data.brick()[:360], ((0, 0), (64, 64)), mode="wrap").astype(float)
    bricks[:, 64:576] = _astronaut()[:360]
    top, left, side = 63, 228, 111
    face = (slice(top, top + side), slice(left, left + side))
    field = motion_field("surprise", (side, side))
    raised = [_moved(bricks, face, strength * field) for strength in np.linspace(0, 2, 72)]
    _encode(folder / "face.mp4", raised)
    _encode(folder / "streamed.mp4", raised, movflags="faststart")
    grass = np.pad(data.grass()[:360], ((0, 0), (64, 64)), mode="wrap").astype(float)
    _encode(folder / "texture.mp4", [np.roll(grass, t, axis=1) for t in range(24)])
    return Videos(
        folder / "face.mp4", folder / "streamed.mp4", folder / "texture.mp4", (top, left, side, side)
    )


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """A folder of 26 portraits, 112 x 92: 1.pgm is the astronaut, the others are scikit-image's LFW."""
    from skimage import data

    folder = tmp_path_factory.mktemp("portraits")
    faces = [Image.fromarray(_astronaut()[70:166, 180:260])]
    faces += [Image.fromarray(np.rint(255 * face).astype(np.uint8)) for face in data.lfw_subset()[:25]]
    for number, face in enumerate(faces, start=1):
        face.resize((92, 112), Image.Resampling.BICUBIC).save(folder / f"{number}.pgm")
    return folder


def _astronaut():
    from skimage import data

    return np.asarray(Image.fromarray(data.astronaut()).convert("L"))


def _moved(picture, part, displacement):
    from scipy import ndimage

    moved = picture.copy()
    grid = np.indices(displacement.shape[1:]).astype(float)
    moved[part] = ndimage.map_coordinates(picture[part], grid - displacement, order=1, mode="nearest")
    return moved


def _encode(path, frames, **options):
    """Write grey frames as H.264."""
    import av

    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "threads": "1"})
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.rint(frame).astype(np.uint8), format="gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def dataset_trees():
    """The module tests/dataset_trees.py, by its path: --import-mode=importlib puts no folder on sys.path."""
    path = Path(__file__).with_name("dataset_trees.py")
    spec = importlib.util.spec_from_file_location("dataset_trees", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_tree(dataset_trees, tmp_path):
    """Write a data set's tree into a folder of its own: ``make_tree("samm", quirks="all")`` -> its root."""

    def make(name, **options):
        root = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        return dataset_trees.make_tree(root, name, **options)

    return make


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Simulate a data set in a folder of its own: ``simulated(subjects=2, clips=6)`` -> its root."""
    from microexpr import simulate

    def write(size=(34, 28), **options):
        return simulate(tmp_path_factory.mktemp("data") / "casme2", size=size, progress=False, **options)

    return write


@pytest.fixture(scope="session", autouse=True)
def _no_word_of_compilation():
    """Keep what a test finds on standard error from depending on kernels that an earlier run has kept."""
    from microexpr._compilation import tell_of_compilation

    tell_of_compilation().told = True
