"""ltogp beside its competitors: C with intrinsics, NumPy, SciPy, scikit-image and mahotas.

    pytest bench --benchmark-only -k ltogp

Each table is one comparison; the number in brackets is the ratio to its fastest row. Frames are 128 x 128,
uint8, in 8 x 8 blocks, in stacks of 100, on one thread, unless a table says otherwise.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mahotas.features
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate
from skimage.feature import local_binary_pattern

import ltogp
from ltogp import _threads

FACES = sorted((Path(__file__).parents[2] / "shared" / "data" / "faces").glob("*.pgm"))
STEPS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def faces() -> np.ndarray:
    images = [np.asarray(Image.open(path).resize((128, 128))) for path in FACES]
    return np.stack([images[i % len(images)] for i in range(100)])


def smooth() -> np.ndarray:
    i = np.arange(128)
    waves = 128 + 60 * np.sin(i / 9) + 60 * np.cos(i[:, None] / 13)
    return np.stack([np.roll(waves, t, axis=1) for t in range(100)]).astype(np.uint8)


IMAGES = {
    "noise": noise(100, 128, 128),
    "faces": faces() if FACES else noise(100, 128, 128),
    "smooth": smooth(),
    "constant": np.full((100, 128, 128), 77, np.uint8),
}
FRAMES = IMAGES["faces"]


# --------------------------------------------------------------------------------------------- competitors


@pytest.fixture(scope="session")
def c_histogram(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., np.ndarray]:
    """ltogp.c, compiled for this machine; same arguments and result as ltogp.histogram of a stack."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler here: the C competitor is left out")
    library = tmp_path_factory.mktemp("c") / "ltogp.so"
    source = Path(__file__).with_name("ltogp.c")
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the C competitor does not compile here: {done.stderr}")
    function = ctypes.CDLL(str(library)).ltogp_histogram
    function.argtypes = [ctypes.c_void_p, *[ctypes.c_ssize_t] * 5, ctypes.c_void_p]

    def histogram(frames: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        if out is None:
            out = np.empty((len(frames), 64 * 256), np.float32)
        function(frames.ctypes.data, *frames.shape, 8, 8, out.ctypes.data)
        return out

    np.testing.assert_array_equal(histogram(FRAMES), ltogp.histogram(FRAMES))
    return histogram


def numpy_codes(frames: np.ndarray) -> np.ndarray:
    padded = np.pad(frames, ((0, 0), (2, 2), (2, 2)), mode="edge").astype(np.int16)
    (height, width) = frames.shape[1:]

    def at(dy: int, dx: int) -> np.ndarray:
        return padded[:, 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]

    codes = np.zeros(frames.shape, np.uint8)
    for k, (dy, dx) in enumerate(STEPS):
        codes |= (at(0, 0) - 2 * at(dy, dx) + at(2 * dy, 2 * dx) >= 0).astype(np.uint8) << k
    return codes


def numpy_histogram(frames: np.ndarray) -> np.ndarray:
    (height, width) = frames.shape[1:]
    block = np.arange(height)[:, None] // (height // 8) * 8 + np.arange(width) // (width // 8)
    bins = numpy_codes(frames) + 256 * block + 16384 * np.arange(len(frames))[:, None, None]
    return np.bincount(bins.ravel(), minlength=len(frames) * 16384).reshape(-1, 16384).astype(np.float32)


# ---------------------------------------------------------------------------------------------- histograms


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("who", ["ltogp", "C"])
def test_histogram(benchmark: Any, c_histogram: Any, images: str, who: str) -> None:
    benchmark.group = f"histogram, {images}, into a new array"
    frames = IMAGES[images]
    if who == "C":
        benchmark(c_histogram, frames)
    else:
        benchmark(ltogp.histogram, frames, n_jobs=1)


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("who", ["ltogp", "C"])
def test_histogram_out(benchmark: Any, c_histogram: Any, images: str, who: str) -> None:
    benchmark.group = f"histogram, {images}, into a given array"
    frames, out = IMAGES[images], np.empty((100, 16384), np.float32)
    if who == "C":
        benchmark(c_histogram, frames, out)
    else:
        benchmark(ltogp.histogram, frames, out=out, n_jobs=1)


@pytest.mark.parametrize("who", ["ltogp", "C", "NumPy"])
def test_one_frame(benchmark: Any, c_histogram: Any, who: str) -> None:
    benchmark.group = "histogram of a single frame, with the call from Python"
    frame = FRAMES[:1]
    np.testing.assert_array_equal(numpy_histogram(frame), ltogp.histogram(frame))
    benchmark({"ltogp": ltogp.histogram, "C": c_histogram, "NumPy": numpy_histogram}[who], frame)


@pytest.mark.parametrize("who", ["ltogp", "NumPy"])
def test_histogram_beside_numpy(benchmark: Any, who: str) -> None:
    benchmark.group = "histogram, faces, beside NumPy"
    benchmark(ltogp.histogram if who == "ltogp" else numpy_histogram, FRAMES)


# --------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("who", ["ltogp", "scikit-image LBP", "mahotas LBP"])
def test_codes(benchmark: Any, who: str) -> None:
    benchmark.group = "codes of a single frame"
    frame = FRAMES[0]
    if who == "ltogp":
        benchmark(ltogp.encode, frame)
    elif who == "mahotas LBP":
        benchmark(mahotas.features.lbp, frame, 1, 8)
    else:
        benchmark(local_binary_pattern, frame, 8, 1)


@pytest.mark.parametrize("who", ["ltogp", "scipy.ndimage.correlate, eight times"])
def test_templates(benchmark: Any, who: str) -> None:
    benchmark.group = "codes of a single frame, 5 x 5 templates"
    frame, templates = FRAMES[0], np.random.default_rng(0).standard_normal((8, 5, 5))

    def scipy_codes() -> np.ndarray:
        image = frame.astype(np.float64)
        bits = [correlate(image, t, mode="nearest") >= 0 for t in templates]
        return sum(bit.astype(np.uint8) << k for k, bit in enumerate(bits))

    np.testing.assert_array_equal(scipy_codes(), ltogp.encode(frame, templates=templates))
    if who == "ltogp":
        benchmark(ltogp.encode, frame, templates=templates)
    else:
        benchmark(scipy_codes)


# -------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
def test_dtype(benchmark: Any, dtype: str) -> None:
    benchmark.group = "histogram, faces, by dtype"
    frames, out = FRAMES.astype(dtype), np.empty((100, 16384), np.float32)
    benchmark(ltogp.histogram, frames, out=out, n_jobs=1)


@pytest.mark.parametrize(
    "options",
    [{"radius": r} for r in (1, 2, 3)] + [{"mode": m} for m in ("reflect", "mirror", "constant", "wrap")],
    ids=str,
)
def test_border(benchmark: Any, options: dict[str, Any]) -> None:
    benchmark.group = "histogram, faces, by radius and mode"
    out = np.empty((100, 16384), np.float32)
    benchmark(ltogp.histogram, FRAMES, out=out, n_jobs=1, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads(benchmark: Any, n_jobs: int) -> None:
    benchmark.group = f"histogram, 2000 frames, by threads ({_threads.thread_limit()} CPUs)"
    frames, out = noise(2000, 128, 128), np.empty((2000, 16384), np.float32)
    benchmark(ltogp.histogram, frames, out=out, n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("images", ["506 frames of 128 x 128", "one of 3840 x 2160"])
def test_large_image(benchmark: Any, images: str, n_jobs: int) -> None:
    benchmark.group = f"histogram, {n_jobs} threads, small and large images of 8.3 million pixels"
    stack = noise(2160, 3840) if images.startswith("one") else noise(506, 128, 128)
    benchmark(ltogp.histogram, stack, n_jobs=n_jobs)


# ---------------------------------------------------------------------------------------------- first call

FIRST_CALL = "import numpy as np, ltogp; ltogp.histogram(np.zeros((128, 128), np.uint8))"
BOTH = FIRST_CALL + "; ltogp.encode(np.zeros((128, 128), np.uint8))"


@pytest.mark.parametrize("code", ["import numba", "import ltogp", FIRST_CALL])
def test_first_call(benchmark: Any, code: str) -> None:
    benchmark.group = "a new process, warm cache"
    benchmark.pedantic(run_python, (code,), rounds=5, warmup_rounds=1)


def test_compilation(benchmark: Any, tmp_path: Path) -> None:
    benchmark.group = "a new process, cold cache, both uint8 kernels"
    caches = iter(range(100))
    benchmark.pedantic(lambda: run_python(BOTH, NUMBA_CACHE_DIR=str(tmp_path / str(next(caches)))), rounds=2)


def run_python(code: str, **environment: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})
