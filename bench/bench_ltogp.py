"""ltogp beside its competitors: C with intrinsics, NumPy, SciPy, and other packages' local binary patterns.

    pytest bench --benchmark-only -k ltogp

The last lines are the comparisons, one each. The two are run in turn, many times, and the ratio is the median
of the ratios of neighbours, so that a machine that slows down slows down both. pytest-benchmark's own table,
above the lines, has the times of the first of the two.

The C, ltogp.c, is written twice: "C bytes" counts codes in eight 8-bit sub-histograms, as ltogp does on
processors without AVX512_VPOPCNTDQ, and "C planes" from bit planes, as ltogp does on those with it (Ice Lake,
Zen 4). It is compiled for the processor Numba compiles for, NUMBA_CPU_NAME if that is set, so that like is
compared with like. For AVX2 on any processor:

    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2 pytest bench --benchmark-only -k ltogp

Without the second variable Numba would still use the instructions of this machine, and without AVX2 in it
ltogp would not know, as it does on such a processor, that it may multiply bytes: see `_codes.at_most`.

Of other packages there are scikit-image, mahotas and fastlbp; ptlbp where it and PyTorch are installed, which
are too large for an extra of benchmarks. OpenCV has no local binary patterns for Python: in opencv-contrib a
recogniser of faces computes them inside.

Frames are 128 x 128, uint8, in 8 x 8 blocks, in stacks of 100, on one thread, unless a line says otherwise.
"Pictures" are pieces of scikit-image's astronaut, brick, grass and gravel; where the environment variable
MICROEXPR_DATA names a folder with portraits in faces/, these are measured, too. What cannot run here, the C
without a C compiler or a package that is not installed, is left out with a line that says so.
"""

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from PIL import Image
from scipy.ndimage import correlate
from skimage import data
from skimage.feature import local_binary_pattern

import ltogp
from ltogp import _threads

Run = Callable[[], object]


def processor() -> str:
    try:
        models = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
        return models[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor()


TITLE = f"ltogp beside others, {_threads.thread_limit()} CPUs, {processor()}"

FACES = sorted(Path(os.environ.get("MICROEXPR_DATA", os.devnull), "faces").glob("*.pgm"))
STEPS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def pictures() -> np.ndarray:
    astronaut = np.asarray(Image.fromarray(data.astronaut()).convert("L"))
    whole = [astronaut, data.brick(), data.grass(), data.gravel()]
    return np.stack([whole[i % 4][3 * i : 3 * i + 128, 2 * i : 2 * i + 128] for i in range(100)])


def faces() -> np.ndarray:
    images = [np.asarray(Image.open(path).resize((128, 128))) for path in FACES]
    return np.stack([images[i % len(images)] for i in range(100)])


def smooth() -> np.ndarray:
    i = np.arange(128)
    waves = 128 + 60 * np.sin(i / 9) + 60 * np.cos(i[:, None] / 13)
    return np.stack([np.roll(waves, t, axis=1) for t in range(100)]).astype(np.uint8)


IMAGES = {
    "noise": noise(100, 128, 128),
    "pictures": pictures(),
    **({"faces": faces()} if FACES else {}),
    "smooth": smooth(),
    "constant": np.full((100, 128, 128), 77, np.uint8),
}
FRAMES = IMAGES["pictures"]


# --------------------------------------------------------------------------------------------- competitors


@pytest.fixture(scope="session")
def c_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """ltogp.c, compiled for the processor that Numba compiles for."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler here: the C competitor is left out")
    library = tmp_path_factory.mktemp("c") / "ltogp.so"
    source = Path(__file__).with_name("ltogp.c")
    target = f"-march={config.CPU_NAME or 'native'}"
    command = [compiler, "-O3", target, "-shared", "-fPIC", str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[0]
        pytest.skip(f"the C competitor does not compile here and is left out: {reason}")
    return ctypes.CDLL(str(library))


@pytest.fixture(params=["bytes", "planes"])
def c_histogram(request: pytest.FixtureRequest, c_library: ctypes.CDLL) -> Callable[..., np.ndarray]:
    """ltogp.c, one way or the other; same arguments and result as ltogp.histogram of a stack."""
    name = "ltogp_histogram" if request.param == "bytes" else "ltogp_histogram_planes"
    if not hasattr(c_library, name):
        pytest.skip("no AVX512_VPOPCNTDQ: the C of bit planes is left out")
    function = getattr(c_library, name)
    function.argtypes = [ctypes.c_void_p, *[ctypes.c_ssize_t] * 5, ctypes.c_void_p]

    def histogram(frames: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        if out is None:
            out = np.empty((len(frames), 64 * 256), np.float32)
        function(frames.ctypes.data, *frames.shape, 8, 8, out.ctypes.data)
        return out

    np.testing.assert_array_equal(histogram(FRAMES), ltogp.histogram(FRAMES))
    histogram.__name__ = f"C {request.param}"
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
@pytest.mark.parametrize("into", ["new", "given"])
def test_histogram(compare: Any, c_histogram: Any, images: str, into: str) -> None:
    frames = IMAGES[images]
    out = None if into == "new" else np.empty((100, 16384), np.float32)
    compare(
        f"histogram, {images}, into a {into} array",
        lambda: ltogp.histogram(frames, out=out, n_jobs=1),
        lambda: c_histogram(frames, out),
        names=f"ltogp | {c_histogram.__name__}",
        rounds=300,
        goal="at most 1",
    )


def test_one_frame(compare: Any, c_histogram: Any) -> None:
    frame = FRAMES[:1]
    compare(
        "histogram of a single frame, from Python",
        lambda: ltogp.histogram(frame),
        lambda: c_histogram(frame),
        names=f"ltogp | {c_histogram.__name__}",
        per=(1, 1),
        rounds=1000,
        goal="at most 1",
    )


def test_numpy(compare: Any) -> None:
    np.testing.assert_array_equal(numpy_histogram(FRAMES), ltogp.histogram(FRAMES))
    compare(
        "histogram, pictures",
        lambda: ltogp.histogram(FRAMES, n_jobs=1),
        lambda: numpy_histogram(FRAMES),
        names="ltogp | NumPy",
        rounds=10,
        speedup=True,
    )


# -------------------------------------------------------------------------------------------------- options


DTYPES = {"bool": "", "uint16": "at most 1.6", "float32": "at most 2", "float64": ""}


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype(compare: Any, dtype: str) -> None:
    frames, out = FRAMES.astype(dtype), np.empty((100, 16384), np.float32)
    compare(
        "histogram, pictures, into a given array",
        lambda: ltogp.histogram(frames, out=out, n_jobs=1),
        lambda: ltogp.histogram(FRAMES, out=out, n_jobs=1),
        names=f"{dtype} | uint8",
        goal=DTYPES[dtype],
    )


@pytest.mark.parametrize(
    "options",
    [{"radius": 2}, {"radius": 3}, *({"mode": m} for m in ("reflect", "mirror", "constant", "wrap"))],
    ids=str,
)
def test_radius_and_mode(compare: Any, options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    default = 1 if name == "radius" else "nearest"
    compare_options(compare, f"{name} {value} | {default}", "at most 1.2", **options)


MASKS = {"of all frames": FRAMES[0] > np.median(FRAMES[0]), "of each": np.median(FRAMES) < FRAMES}


@pytest.mark.parametrize("mask", MASKS)
def test_mask(compare: Any, mask: str) -> None:
    compare_options(compare, f"mask {mask} | none", "at most 1.3", mask=MASKS[mask])


@pytest.mark.parametrize("mapping", ["uniform", "ror", "nri_uniform"])
def test_mapping(compare: Any, mapping: str) -> None:
    compare_options(compare, f"mapping {mapping} | default", "at most 1.15", mapping=mapping)


@pytest.mark.parametrize("normalize", ["l1", "l2", "l1-sqrt"])
def test_normalize(compare: Any, normalize: str) -> None:
    compare_options(compare, f"normalize {normalize} | None", "at most 1.2", normalize=normalize)


def test_overlap(compare: Any) -> None:
    compare_options(compare, "overlap 0.5 | 0", "at most 2", overlap=0.5)


def test_radii(compare: Any) -> None:
    compare_options(compare, "radius (1, 2, 3) | 1", "at most 3.2", radius=(1, 2, 3))


def compare_options(compare: Any, names: str, goal: str, **options: Any) -> None:
    out = np.empty((100, 16384), np.float32)
    theirs = np.empty_like(ltogp.histogram(FRAMES, **options))
    compare(
        "histogram, pictures, into a given array",
        lambda: ltogp.histogram(FRAMES, out=theirs, n_jobs=1, **options),
        lambda: ltogp.histogram(FRAMES, out=out, n_jobs=1),
        names=names,
        goal=goal,
    )


def paper_templates() -> np.ndarray:
    templates = np.zeros((8, 5, 5))
    templates[:, 2, 2] = 1
    for k, (dy, dx) in enumerate(STEPS):
        templates[k, 2 + dy, 2 + dx] = -2
        templates[k, 2 + 2 * dy, 2 + 2 * dx] = 1
    return templates


TEMPLATES = {
    "the paper's templates": paper_templates(),
    "dense 5 x 5 templates": np.random.default_rng(0).standard_normal((8, 5, 5)),
}


def sparse_templates(*weights: int) -> np.ndarray:
    """Eight templates of these weights, each at other places of 5 x 5."""
    rng, templates = np.random.default_rng(0), np.zeros((8, 5, 5), np.int64)
    for template in templates:
        template.flat[rng.choice(25, len(weights), replace=False)] = weights
    return templates


SPARSE = {
    "lbp": "lbp",
    "central": "central",
    "1, -1 anywhere": sparse_templates(1, -1),
    "1, -2, 1 anywhere": sparse_templates(1, -2, 1),
    "2, -3 anywhere": sparse_templates(2, -3),
    "3, -1, -2 anywhere": sparse_templates(3, -1, -2),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_templates(compare: Any, name: str) -> None:
    compare_options(compare, f"templates {name} | default", "at most 1.2", templates=SPARSE[name])


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates(compare: Any, name: str) -> None:
    frame, templates = FRAMES[0], TEMPLATES[name]

    def scipy_codes() -> np.ndarray:
        image = frame.astype(np.float64)
        bits = [correlate(image, t, mode="nearest") >= 0 for t in templates]
        return sum(bit.astype(np.uint8) << k for k, bit in enumerate(bits))

    np.testing.assert_array_equal(scipy_codes(), ltogp.encode(frame, templates=templates))
    compare(
        f"codes of one frame, {name}",
        lambda: ltogp.encode(frame, templates=templates, n_jobs=1),
        scipy_codes,
        names="ltogp | scipy correlate x 8",
        per=(1, 1),
        rounds=50,
        speedup=True,
        goal="at least 3",
    )


# ------------------------------------------------------------------------------------------- three planes

CLIP = noise(100, 128, 128)


def numpy_histogram_top(clip: np.ndarray) -> np.ndarray:
    def sums(images: np.ndarray, blocks: int) -> np.ndarray:
        """Blocks (blocks, 8) of images (n, H, W), summed over all of them (blocks = 8) or each n // 8."""
        (n, height, width) = images.shape
        row = np.arange(height) * blocks // height
        group = np.zeros(n, np.intp) if blocks == 8 else np.arange(n) * 8 // n
        block = (group[:, None, None] + row[:, None]) * 8 + np.arange(width) * 8 // width
        return np.bincount((numpy_codes(images) + 256 * block).ravel(), minlength=16384)

    xy, xt, yt = sums(clip, 8), sums(clip.transpose(1, 0, 2), 1), sums(clip.transpose(2, 0, 1), 1)
    yt = yt.reshape(8, 8, 256).swapaxes(0, 1).ravel()  # from columns of blocks to rows
    return np.concatenate([xy, xt, yt]).astype(np.float32)


def test_top(compare: Any) -> None:
    np.testing.assert_array_equal(numpy_histogram_top(CLIP), ltogp.histogram_top(CLIP))
    compare(
        "histogram_top, 100 frames, one thread",
        lambda: ltogp.histogram_top(CLIP, n_jobs=1),
        lambda: numpy_histogram_top(CLIP),
        names="ltogp | NumPy",
        rounds=5,
        speedup=True,
    )


def test_top_and_one_plane(compare: Any) -> None:
    out = np.empty((100, 16384), np.float32)
    compare(
        "histogram_top, 100 frames, one thread",
        lambda: ltogp.histogram_top(CLIP, n_jobs=1),
        lambda: ltogp.histogram(CLIP, out=out, n_jobs=1),
        names="three planes | histogram of frames",
        rounds=100,
        goal="at most 4",
    )


# --------------------------------------------------------------------------------------------- beside LBP

OURS = {
    "histograms of 100 frames": (lambda: ltogp.histogram(FRAMES, n_jobs=1), 100),
    "histogram of one frame": (lambda: ltogp.histogram(FRAMES[0]), 1),
    "codes of one frame": (lambda: ltogp.encode(FRAMES[0]), 1),
    'codes of one frame, templates="lbp"': (lambda: ltogp.encode(FRAMES[0], templates="lbp"), 1),
}


def scikit_image_lbp() -> Run:
    return lambda: local_binary_pattern(FRAMES[0], 8, 1)


def mahotas_lbp() -> Run:
    mahotas = pytest.importorskip("mahotas.features", reason="no mahotas here: it is left out")
    return lambda: mahotas.lbp(FRAMES[0], 1, 8)


def fastlbp_lbp() -> Run:
    lbp = pytest.importorskip("fastlbp.lbp", reason="no fastlbp here: it is left out")
    return lambda: lbp.uniform_lbp_uint8(FRAMES[0], 8, 1.0)


def ptlbp_lbp() -> Run:
    torch = pytest.importorskip("torch", reason="no PyTorch here: ptlbp is left out")
    ptlbp = pytest.importorskip("ptlbp", reason="no ptlbp here: it is left out")
    torch.set_num_threads(1)
    layer, image = ptlbp.DiffLBP("8r1"), torch.from_numpy(FRAMES[:1, None] / np.float32(255))
    return lambda: layer.compute_lbp_image(image, return_confidences=False)


LBP = {
    "scikit-image LBP codes": scikit_image_lbp,
    "mahotas LBP": mahotas_lbp,
    "fastlbp uniform LBP codes": fastlbp_lbp,
    "ptlbp LBP codes": ptlbp_lbp,
}


@pytest.mark.parametrize("lbp", LBP)
@pytest.mark.parametrize("what", OURS)
def test_lbp(compare: Any, what: str, lbp: str) -> None:
    ours, frames = OURS[what]
    compare(
        what,
        ours,
        LBP[lbp](),
        names=f"ltogp | {lbp}",
        per=(frames, 1),
        rounds=30 if lbp.startswith("ptlbp") else 100,
        speedup=True,
        goal="" if "lbp" in what else "at least 50",
    )
