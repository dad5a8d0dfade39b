"""What an environment of its own has to show: `nox -s packages` runs this there, beside nothing of ours.

python installed.py EXTRA    with one of the extras, `core` (none), or `ltogp` (numba and numpy only)
"""

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

random = np.random.default_rng(0)
frames = random.integers(0, 256, (6, 32, 32), dtype=np.uint8)

# A module of each extra that neither the core nor another extra brings.
OF_EXTRA = {
    "video": "av",
    "face": "skimage",
    "eyes": "cv2",
    "datasets": "openpyxl",
    "plot": "matplotlib",
    "store": "zarr",
    "s3": "s3fs",
    "dask": "distributed",
    "completion": "shtab",
}
BRINGS = {"store": {"datasets"}, "s3": {"store", "datasets"}, "all": set(OF_EXTRA)}


def main(extra: str) -> None:
    """Run what the extra is for, and see that it is the only one."""
    for name in ("ltogp", "rankpool", "l21", "microexpr")[: 1 if extra == "ltogp" else 4]:
        path = Path(importlib.import_module(name).__file__)
        assert "site-packages" in path.parts, path
    if extra == "ltogp":
        for name in ("scipy", "sklearn", "PIL", "imageio", "joblib", "tqdm"):
            assert find_spec(name) is None, name
    there = {name for name, module in OF_EXTRA.items() if find_spec(module)}
    assert there == {extra, *BRINGS.get(extra, set())} & set(OF_EXTRA), there
    for name in sorted(there) or [extra]:
        if (run := globals().get(f"_{name}")) is not None:
            run()
            print(f"{name}: works")
    if extra != "ltogp" and "store" not in there:
        done = subprocess.run(
            [sys.executable, "-m", "microexpr", "extract", "casme2", "."], capture_output=True, text=True
        )
        assert done.returncode == 2, done
        assert "install microexpr[" in done.stderr, done.stderr


def _ltogp() -> None:
    import ltogp

    assert ltogp.histogram(frames, (2, 2)).shape == (6, 1024)
    assert ltogp.encode(frames.astype(np.float32)).shape == frames.shape
    assert ltogp.histogram_top(frames, (2, 2)).shape == (3072,)
    assert ltogp.histogram_map(frames[0], window=9, stride=4).shape[-1] == 256
    assert ltogp.__version__


def _core() -> None:
    import microexpr

    assert microexpr.describe(frames, blocks=(2, 2)).shape == (1024,)
    subprocess.run([sys.executable, "-m", "microexpr", "--help"], check=True, stdout=subprocess.DEVNULL)
    _images()


def _images() -> Path:
    import imageio.v3 as imageio

    folder = Path("images")
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(frames):
        imageio.imwrite(folder / f"{i}.png", frame)
    import microexpr

    assert microexpr.read_clip(folder).shape == (6, 128, 128)
    return folder


def _video() -> None:
    import av

    import microexpr

    with av.open("clip.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    assert microexpr.read_clip("clip.mkv", face=False).shape == (6, 128, 128)


def _face() -> None:
    import microexpr

    said = ""
    try:
        microexpr.read_clip(_images(), face=True)
    except microexpr.ClipError as error:  # there is none in noise
        said = str(error)
    assert "face" in said, said


def _eyes() -> None:
    import cv2

    assert Path(cv2.data.haarcascades, "haarcascade_eye_tree_eyeglasses.xml").is_file()


def _datasets() -> None:
    import microexpr

    root = microexpr.simulate("simulated", subjects=2, clips=6, frames=(4, 5), size=(64, 56), progress=False)
    assert len(microexpr.read_casme2(root)) == 6


def _plot() -> None:
    from microexpr.plots import plot_frames

    plot_frames(frames).figure.savefig("frames.png")


def _store() -> None:
    import microexpr

    root = microexpr.simulate("to_store", subjects=2, clips=6, frames=(4, 5), size=(64, 56), progress=False)
    clips = microexpr.extract(microexpr.read_casme2(root), "store.zarr", blocks=(2, 2))
    assert clips.X.shape == (6, 1024)


def _s3() -> None:
    from microexpr import FeatureStore

    assert not FeatureStore.exists("memory://nothing")


def _dask() -> None:
    import dask.array

    import ltogp

    lazy = ltogp.encode_tiles(dask.array.from_array(frames[0], chunks=16))
    assert (lazy.compute(scheduler="synchronous") == ltogp.encode(frames[0])).all()


def _completion() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "microexpr", "completion", "bash"], capture_output=True, text=True, check=True
    )
    assert "microexpr" in done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
