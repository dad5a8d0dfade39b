"""ltogp.encode and ltogp.histogram against NumPy and scipy.ndimage."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import correlate
from skimage import data
from skimage.color import rgb2gray

import ltogp
from ltogp import _compilation

# The same borders as numpy.pad calls them.
PAD = {
    "nearest": "edge",
    "reflect": "symmetric",
    "mirror": "reflect",
    "constant": "constant",
    "wrap": "wrap",
}
DTYPES = ["bool", "uint8", "uint16", "float32", "float64"]
# E, NE, N, NW, W, SW, S, SE, rows downwards
STEPS = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]


def numpy_codes(image, radius=1, mode="nearest"):
    """Eqs. (1) and (2)."""
    c = image if image.dtype.kind == "f" else image.astype(np.int64)
    (height, width), reach = c.shape, 2 * radius
    padded = np.pad(c, reach, mode=PAD[mode])

    def at(dy, dx):
        return padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]

    codes = np.zeros(c.shape, np.uint8)
    for k, (dy, dx) in enumerate(STEPS):
        a, b = at(dy * radius, dx * radius), at(2 * dy * radius, 2 * dx * radius)
        codes |= (c - 2 * a + b >= 0).astype(np.uint8) << k
    return codes


def numpy_histogram(codes, blocks):
    (height, width), (by, bx) = codes.shape, blocks
    return np.concatenate(
        [
            np.bincount(
                codes[
                    i * height // by : (i + 1) * height // by, j * width // bx : (j + 1) * width // bx
                ].ravel(),
                minlength=256,
            )
            for i in range(by)
            for j in range(bx)
        ]
    )


def random_image(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def templates_of_radius(radius):
    """The default templates, written out."""
    templates = np.zeros((8, 4 * radius + 1, 4 * radius + 1))
    for k, (dy, dx) in enumerate(STEPS):
        for steps, weight in enumerate([1, -2, 1]):
            templates[k, (2 + steps * dy) * radius, (2 + steps * dx) * radius] = weight
    return templates


@pytest.fixture(params=["planes", "counters"])
def both_ways_to_count(request, monkeypatch):
    """Both ways to count, on any processor: without the instruction the first is only slow."""
    monkeypatch.setattr(_compilation, "counts_bits", lambda: request.param == "planes")


# ------------------------------------------------------------------------------------------ against NumPy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", PAD)
@pytest.mark.parametrize("radius", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 1), (2, 3), (5, 5), (17, 23), (64, 131)])
def test_codes_and_histogram(dtype, mode, radius, shape):
    image = random_image(dtype, shape)
    codes = numpy_codes(image, radius, mode)
    np.testing.assert_array_equal(ltogp.encode(image, radius=radius, mode=mode), codes)
    blocks = (min(3, shape[0]), min(5, shape[1]))
    counts = ltogp.histogram(image, blocks, radius=radius, mode=mode)
    np.testing.assert_array_equal(counts, numpy_histogram(codes, blocks))


@pytest.mark.usefixtures("both_ways_to_count")
@pytest.mark.parametrize("blocks", [(1, 1), (1, 7), (9, 2), (8, 8), (16, 16)])
def test_pictures(blocks):
    grey = np.round(rgb2gray(data.astronaut()) * 255).astype(np.uint8)
    pictures = [grey, data.brick(), data.grass(), data.gravel()]
    assert_histograms(np.stack(pictures)[:, 100:211, 301:392], blocks)  # odd sizes, and a view


@pytest.mark.usefixtures("both_ways_to_count")
def test_faces(real_data):
    images = np.stack([np.asarray(Image.open(path)) for path in sorted((real_data / "faces").glob("*.pgm"))])
    assert images.shape == (26, 112, 92)
    for blocks in [(1, 1), (1, 7), (9, 2), (8, 8), (16, 16)]:
        assert_histograms(images[:, :111, 1:], blocks)


def assert_histograms(images, blocks):
    counts = ltogp.histogram(images, blocks)
    codes = ltogp.encode(images)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(codes[i], numpy_codes(image))
        np.testing.assert_array_equal(counts[i], numpy_histogram(codes[i], blocks))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_4k(dtype):
    image = random_image(dtype, (2160, 3840))
    codes = numpy_codes(image)
    np.testing.assert_array_equal(ltogp.encode(image), codes)
    for blocks in [(8, 8), (1, 1), (2, 3)]:
        np.testing.assert_array_equal(ltogp.histogram(image, blocks), numpy_histogram(codes, blocks))
        np.testing.assert_array_equal(
            ltogp.histogram(image[None], blocks, n_jobs=1)[0], ltogp.histogram(image, blocks)
        )


@st.composite
def images_and_options(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
    elements = None
    if dtype.startswith("float"):
        elements = st.floats(-1e6, 1e6, width=32)
    image = draw(hnp.arrays(dtype, shape, elements=elements))
    blocks = tuple(draw(st.integers(1, n)) for n in shape)
    return image, blocks, draw(st.integers(1, 9)), draw(st.sampled_from(list(PAD)))


@given(images_and_options(), st.sampled_from([0.0, 0.1, 0.5, 0.75]))
@settings(deadline=None, max_examples=200)
def test_any_image(case, overlap):
    image, blocks, radius, mode = case
    codes = numpy_codes(image, radius, mode)
    np.testing.assert_array_equal(ltogp.encode(image, radius=radius, mode=mode), codes)
    with pytest.MonkeyPatch.context() as patch:
        for planes in (True, False):
            patch.setattr(_compilation, "counts_bits", lambda planes=planes: planes)
            counts = ltogp.histogram(image, blocks, radius=radius, mode=mode)
            np.testing.assert_array_equal(counts, numpy_histogram(codes, blocks))
            shared = ltogp.histogram(image, blocks, radius=radius, mode=mode, overlap=overlap)
            if planes:
                first = shared
        np.testing.assert_array_equal(shared, first)


@pytest.mark.usefixtures("both_ways_to_count")
@pytest.mark.parametrize("width", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200])
def test_blocks_of_any_width(width):
    # Blocks of up to 64 columns fill words of 64 bits; one column more begins another piece.
    image = random_image("uint8", (45, 3 * width + 2))
    for blocks in [(1, 1), (1, 3), (2, 3), (9, 1)]:
        expected = numpy_histogram(numpy_codes(image), blocks)
        np.testing.assert_array_equal(ltogp.histogram(image, blocks), expected)
        out = np.full((1, 2 + len(expected)), 7, np.float32)
        ltogp.histogram(image[None], blocks, out=out[:, 1:-1])
        np.testing.assert_array_equal(out[0], [7, *expected, 7])


def test_which_way(monkeypatch):
    counts_bits = _compilation.counts_bits.__wrapped__
    monkeypatch.setattr(_compilation.config, "CPU_NAME", "generic")
    assert not counts_bits()  # NUMBA_CPU_NAME=generic, whatever this processor has
    monkeypatch.setattr(_compilation.config, "CPU_FEATURES", "+avx512bw,+avx512vpopcntdq")
    assert counts_bits()
    monkeypatch.setattr(_compilation.config, "CPU_FEATURES", "+avx512bw,-avx512vpopcntdq")
    assert not counts_bits()
    monkeypatch.setattr(_compilation.config, "CPU_NAME", None)
    monkeypatch.setattr(_compilation.config, "CPU_FEATURES", None)
    for features in ({"avx512bw": True}, {"avx512bw": True, "avx512vpopcntdq": True}):
        monkeypatch.setattr(_compilation, "get_host_cpu_features", lambda features=features: features)
        assert counts_bits() == (len(features) == 2)

    def unknown():
        raise RuntimeError("no such processor")

    monkeypatch.setattr(_compilation, "get_host_cpu_features", unknown)
    assert not counts_bits()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", PAD)
@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_templates(dtype, mode, k):
    rng = np.random.default_rng(k)
    for shape in [(1, 1), (2, 3), (31, 40)]:
        image = random_image(dtype, shape)
        for templates in (
            rng.standard_normal((8, k, k)),
            rng.integers(-2, 3, (8, k, k)),
            np.zeros((8, k, k)),
        ):
            codes = np.zeros(shape, np.uint8)
            for bit, template in enumerate(templates):
                g = correlate(image.astype(float), template.astype(float), mode=mode)
                codes |= (g >= 0).astype(np.uint8) << bit
            np.testing.assert_array_equal(ltogp.encode(image, mode=mode, templates=templates), codes)
            np.testing.assert_array_equal(
                ltogp.histogram(image, (1, 1), mode=mode, templates=templates), numpy_histogram(codes, (1, 1))
            )


@pytest.mark.parametrize("mode", PAD)
@pytest.mark.parametrize("radius", [1, 2])
def test_default_templates_written_out(mode, radius):
    image = random_image("uint16", (40, 50))
    templates = templates_of_radius(radius)
    expected = ltogp.encode(image, radius=radius, mode=mode)
    np.testing.assert_array_equal(ltogp.encode(image, mode=mode, templates=templates), expected)
    assert len(np.unique(templates, axis=0)) == 8


# ----------------------------------------------------------------------------------------------- by hand


def test_code_of_one_bright_pixel():
    image = np.zeros((5, 5), np.uint8)
    image[2, 2] = 1
    codes = ltogp.encode(image)
    # Next to it, -2 falls on it: the bit of that direction is off. Everywhere else nothing is negative.
    expected = np.full((5, 5), 255, np.uint8)
    for k, (dy, dx) in enumerate(STEPS):
        expected[2 - dy, 2 - dx] -= 1 << k
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("uint16", 0, 65535), ("uint16", 255, 256), ("bool", 0, 1)]
)
def test_extreme_values_do_not_overflow(dtype, low, high):
    for seed in range(20):
        image = np.where(np.random.default_rng(seed).random((9, 70)) < 0.5, low, high).astype(dtype)
        np.testing.assert_array_equal(ltogp.encode(image), numpy_codes(image))


def test_floats_are_computed_from_left_to_right():
    # On a ramp in 1/255 the second difference is zero but for rounding, which decides the bit.
    image = (np.arange(256) / 255).reshape(1, -1)
    for dtype in ("float32", "float64"):
        x = image.astype(dtype)
        with pytest.warns(UserWarning, match="looks like integers divided by 255"):
            codes = ltogp.encode(x)
        np.testing.assert_array_equal(codes, numpy_codes(x))
        assert (codes != ltogp.encode(np.arange(256, dtype=np.uint16).reshape(1, -1))).any()


@pytest.mark.usefixtures("both_ways_to_count")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_floats(dtype):
    # Up to a quarter of the largest float nothing overflows; beyond, c - 2a + b = 1.7 - 2 * 1 + 1.7 could.
    quarter = np.finfo(dtype).max / np.dtype(dtype).type(4)
    image = np.random.default_rng(0).uniform(-1, 1, (20, 20)).astype(dtype) * quarter
    image[5], image[:, 5] = quarter, -quarter
    with np.errstate(over="raise"):
        expected = numpy_codes(image)
    np.testing.assert_array_equal(ltogp.encode(image), expected)
    np.testing.assert_array_equal(ltogp.histogram(image, (3, 2)), numpy_histogram(expected, (3, 2)))
    image[7, 9] = np.nextafter(quarter, np.inf, dtype=dtype)
    for function in (ltogp.encode, ltogp.histogram, lambda x: ltogp.histogram_top(x[None])):
        with pytest.raises(
            ValueError, match=r"holds (8\.5|4\.49).* at frame 0, row 7, column 9; must be within"
        ):
            function(image)


@pytest.mark.usefixtures("both_ways_to_count")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiny_floats(dtype):
    # Multiples of the smallest number there is, whose differences are exact unless they are flushed to zero.
    tiny = np.finfo(dtype).smallest_subnormal
    numbers = np.random.default_rng(0).integers(0, 4, (20, 70), dtype=np.uint8)
    image = (numbers * tiny).astype(dtype)
    assert len(np.unique(image)) == 4
    for templates in ("ltogp", "lbp", "central"):
        expected = ltogp.histogram(numbers, (3, 2), templates=templates)
        np.testing.assert_array_equal(ltogp.histogram(image, (3, 2), templates=templates), expected)
    np.testing.assert_array_equal(ltogp.encode(image), numpy_codes(numbers))


def test_templates_do_not_overflow():
    image = np.full((8, 9), 1e300)
    for weight in (1e10, -1e10):
        with pytest.raises(ValueError, match=r"image holds 1e\+300 at frame 0.*must be within \+-3\.6e\+296"):
            ltogp.encode(image, templates=np.full((8, 5, 5), weight))
    image *= 1e-4
    assert (ltogp.encode(image, templates=np.full((8, 5, 5), 1e10)) == 255).all()
    assert (ltogp.encode(image, templates=np.full((8, 5, 5), -1e10)) == 0).all()
    with pytest.raises(ValueError, match="templates holds weights beyond 1e250; divide them"):
        ltogp.encode(image, templates=np.full((8, 5, 5), 1e251))


# ------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("mode", [m for m in PAD if m != "constant"])
def test_adding_a_constant_changes_nothing(mode):
    image = random_image("uint8", (30, 33)) // 2
    np.testing.assert_array_equal(
        ltogp.encode(image + np.uint8(128), mode=mode), ltogp.encode(image, mode=mode)
    )
    np.testing.assert_array_equal(
        ltogp.encode(image * np.uint8(2), mode=mode), ltogp.encode(image, mode=mode)
    )


@pytest.mark.parametrize("mode", PAD)
@pytest.mark.parametrize("radius", [1, 2])
def test_rotation_rotates_the_bits(mode, radius):
    image = random_image("uint8", (30, 47))
    codes = ltogp.encode(image, mode=mode, radius=radius)
    rotated = codes << 2 | codes >> 6  # a quarter turn is two directions
    np.testing.assert_array_equal(ltogp.encode(np.rot90(image), mode=mode, radius=radius), np.rot90(rotated))


@pytest.mark.usefixtures("both_ways_to_count")
@pytest.mark.parametrize(
    "shape", [(16, 16), (33, 70), (64, 2039), (64, 2040), (64, 2041), (5, 9001), (700, 300)]
)
@pytest.mark.parametrize("blocks", [(1, 1), (1, 3), (5, 4)])
def test_every_pixel_is_counted_once(shape, blocks):
    # A constant image is the worst case for the 8-bit counters: all its codes are 255.
    counts = ltogp.histogram(np.full(shape, 7, np.uint8), blocks).reshape(-1, 256)
    assert counts[:, 255].sum() == counts.sum() == shape[0] * shape[1]
    image = random_image("uint8", shape)
    np.testing.assert_array_equal(
        ltogp.histogram(image, blocks), numpy_histogram(ltogp.encode(image), blocks)
    )


def test_blocks_above_two_to_the_24_pixels():
    image = np.zeros((4200, 4100), np.uint8)
    assert ltogp.histogram(image, (1, 1), n_jobs=1)[255] == image.size
    assert image.size > 1 << 24
    assert ltogp.histogram(image[:, :-1], (1, 1), n_jobs=1)[255] == np.float32(image[:, :-1].size)


# ------------------------------------------------------------------------------------- arrays of all kinds


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, ::-1, ::2],
        lambda x: x[::-1, 1:, 3:],
        lambda x: np.asfortranarray(x),
        lambda x: x.transpose(1, 2, 0),
        lambda x: x.transpose(2, 0, 1),
        lambda x: np.broadcast_to(x[0], (5, *x.shape[1:])),
        lambda x: x[:0],
        lambda x: x.astype(x.dtype.newbyteorder(">")),
    ],
)
def test_views(dtype, view):
    stack = view(random_image(dtype, (9, 20, 31)))
    before = stack.copy()
    stack.flags.writeable = False
    expected = [numpy_codes(image) for image in before.astype(dtype)]
    codes, counts = ltogp.encode(stack), ltogp.histogram(stack, (4, 3))
    assert codes.shape == stack.shape
    assert counts.shape == (len(stack), 3072)
    for i, code in enumerate(expected):
        np.testing.assert_array_equal(codes[i], code)
        np.testing.assert_array_equal(counts[i], numpy_histogram(code, (4, 3)))
    np.testing.assert_array_equal(stack, before)


def test_unaligned():
    data = b"x" + random_image("uint16", (9, 9)).tobytes()
    image = np.frombuffer(data, np.uint16, offset=1).reshape(9, 9)
    assert not image.flags.aligned
    np.testing.assert_array_equal(ltogp.encode(image), numpy_codes(image))


def test_memory_map(tmp_path):
    stack = random_image("uint8", (30, 40, 50))
    np.save(tmp_path / "stack.npy", stack)
    mapped = np.load(tmp_path / "stack.npy", mmap_mode="r")
    np.testing.assert_array_equal(ltogp.encode(mapped), ltogp.encode(stack))
    np.testing.assert_array_equal(ltogp.histogram(mapped), ltogp.histogram(stack))
    assert type(ltogp.encode(mapped)) is np.ndarray


def test_lists_of_images():
    image = random_image("uint8", (9, 9))
    np.testing.assert_array_equal(ltogp.encode([image, image]), np.stack([numpy_codes(image)] * 2))


def test_out():
    stack = random_image("uint8", (5, 40, 50))
    expected = ltogp.histogram(stack)
    assert expected.dtype == np.float32
    out = np.full_like(expected, np.nan)
    assert ltogp.histogram(stack, out=out) is out
    np.testing.assert_array_equal(out, expected)
    wide = np.full((5, 40000), -1, np.float32)
    ltogp.histogram(stack, out=wide[:, 100:16484])
    np.testing.assert_array_equal(wide[:, 100:16484], expected)
    assert (wide[:, :100] == -1).all()
    assert (wide[:, 16484:] == -1).all()
    one = np.empty(16384, np.float32)
    assert ltogp.histogram(stack[0], out=one) is one
    np.testing.assert_array_equal(one, expected[0])
    big = np.zeros((1500, 1500), np.uint8)  # in bands, summed into out
    one = np.empty(256, np.float32)
    assert ltogp.histogram(big, (1, 1), out=one) is one
    assert one[255] == big.size
