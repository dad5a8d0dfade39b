"""Drift measured and undone, frames blurred, and clips resampled in time."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import ltogp
from microexpr import read_casme2, simulate
from microexpr.data import ClipError, drift, read_clip, read_frames, resample, stabilise


@pytest.mark.parametrize("function", [drift, stabilise, lambda frames: resample(frames, 5)])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: f[0], ValueError, r"^frames have shape \(8, 9\)"),
        (lambda f: f[:0], ValueError, r"^frames have shape \(0, 8, 9\)"),
        (lambda f: np.stack([f] * 3, -1), ValueError, r"^frames have shape \(4, 8, 9, 3\)"),
        (lambda f: [f[0], f[1][:5]], ValueError, "^frames are of different sizes"),
        (lambda f: list(np.ma.masked_array(f)), TypeError, "^frames is a masked array"),
        (lambda f: np.ma.masked_array(f), TypeError, "^frames is a masked array"),
        (lambda f: f.astype(object), TypeError, "^frames have dtype object"),
        (lambda f: np.where(f > 9, np.nan, f), (TypeError, ValueError), "^frames (have dtype|hold NaN)"),
        (lambda f: None, ValueError, r"^frames have shape \(\)"),
    ],
)
def test_wrong_frames(function, damage, error, message):
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 9), dtype=np.uint8)
    with pytest.raises(error, match=message):
        function(damage(frames))


def test_frames_of_16_bits_are_not_squeezed_into_8():
    frames = np.full((3, 8, 9), 1000, np.uint16)
    with pytest.raises(TypeError, match=r"^frames have dtype uint16; they must be uint8"):
        stabilise(frames)
    longer = resample(frames, 5)
    assert longer.dtype == np.uint16
    assert (longer == 1000).all()
    for wrong in (frames.astype(np.int32), frames / 2):
        with pytest.raises(TypeError, match=r"^frames have dtype .*; they must be uint8"):
            resample(wrong, 5)
    for wrong in (None, 1, 2.5):
        with pytest.raises(ValueError, match=r"^n_frames is"):
            resample(frames.astype(np.uint8), wrong)
    with pytest.raises(ValueError, match=r"^stabilise is 'both'"):
        stabilise(frames.astype(np.uint8), "both")
    with pytest.raises(ValueError, match=r"^method is None"):
        stabilise(frames.astype(np.uint8), None)
    with pytest.raises(ValueError, match=r'^stabilise="integer" is no more: "tiles"'):
        read_frames(["1.png"], stabilise="integer")


@pytest.mark.parametrize("blur", [-0.5, np.nan, np.inf, 1e9, True, "1", [1]])
def test_wrong_blur(blur, tmp_path):
    frames = np.zeros((2, 8, 9), np.uint8)
    Image.fromarray(frames[0]).save(tmp_path / "1.png")
    calls = (
        lambda: stabilise(frames, blur=blur),
        lambda: read_frames([tmp_path / "1.png"], blur=blur),
        lambda: read_clip(tmp_path, blur=blur),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"^blur is .*; it must be 0 to 100 pixels, or None"):
            call()


@pytest.fixture
def portrait(portraits):
    return np.asarray(Image.open(portraits / "1.pgm").resize((80, 96), Image.Resampling.BICUBIC), dtype=float)


def drifting(face, shifts, noise=1.0):
    rng = np.random.default_rng(0)
    frames = [ndimage.shift(face, shift, order=3, mode="mirror") for shift in shifts]
    return np.clip(np.rint(frames + noise * rng.standard_normal((len(shifts), *face.shape))), 0, 255).astype(
        np.uint8
    )


SHIFTS = np.array([[0, 0], [0.5, -0.25], [-1.3, 0.7], [2.0, 3.0], [-0.1, -4.6]])


def test_drift_is_measured_to_a_few_hundredths_of_a_pixel(portrait):
    frames = drifting(portrait, SHIFTS)
    np.testing.assert_allclose(drift(frames), SHIFTS, atol=0.06)
    np.testing.assert_array_equal(drift(frames[[0, 3]], subpixel=False), SHIFTS[[0, 3]])
    assert not drift(frames[[0, 0]]).any()
    assert not drift(np.full((3, 20, 20), 7, np.uint8)).any()  # nothing to see


def test_subpixel_drift_is_where_the_interpolated_correlation_is_largest(portrait):
    """Against the inverse transform written out on a grid of 1/16 pixel."""
    frames = drifting(portrait, SHIFTS)[:, :24, :20]
    window = np.hanning(26)[1:-1, None] * np.hanning(22)[1:-1]
    F = np.fft.fft2((frames - frames.mean(axis=(1, 2), keepdims=True)) * window)
    cross = F * F[0].conj()
    cross /= abs(cross) + (abs(F[0, :, : 20 // 2 + 1]) ** 2).mean()
    grid = np.arange(-32, 33) / 16
    u, v = np.fft.fftfreq(24), np.fft.fftfreq(20)
    for found, spectrum in zip(drift(frames)[1:3], cross[1:3], strict=True):
        values = np.array(
            [
                [(spectrum * np.exp(2j * np.pi * (y * u[:, None] + x * v))).real.sum() for x in grid]
                for y in grid
            ]
        )
        y, x = np.unravel_index(values.argmax(), values.shape)
        np.testing.assert_allclose(found, [grid[y], grid[x]], atol=1 / 16)


def test_stabilise_brings_frames_back(portrait):
    frames = drifting(portrait, SHIFTS, noise=0.0)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    before = abs(frames.astype(float) - frames[0])[inner].max(axis=(1, 2))
    after = abs(stabilise(frames).astype(float) - frames[0])[inner].mean(axis=(1, 2))
    assert (before[1:] > 20).all()
    assert (after < 1).all()


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[1] / "docs" / "drift_accuracy.py"
    spec = importlib.util.spec_from_file_location("drift_accuracy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("motion", [(0.0, 0.0), (1.0, 2.0)])
@pytest.mark.parametrize("most", [0.1, 1.0, 2.0])
def test_tiles_find_the_head_of_simulated_clips_and_not_the_expression(
    tmp_path, portraits, example, motion, most
):
    """The truth is drawn again by docs/drift_accuracy.py: that the figures there are of true shifts."""
    root = simulate(
        tmp_path / "data", subjects=5, clips=10, frames=(10, 12), faces=portraits, motion=motion, drift=most
    )
    tiles, whole = [], []
    for row, clip in read_casme2(root).iterrows():
        frames = read_frames(clip["frames"])
        truth = example.head_path(row, clip, motion, most)
        tiles.append(drift(frames, tiles=True) - truth)
        whole.append(drift(frames) - truth)
    tiles, whole = (np.sqrt(np.mean(np.concatenate(error) ** 2)) for error in (tiles, whole))
    assert tiles < 0.08  # portraits of 25 x 25 pixels, enlarged
    assert whole < 0.04 if motion == (0.0, 0.0) else whole > 1.5 * tiles


@pytest.mark.parametrize("size", [(96, 80), (97, 83), (40, 90), (34, 33), (20, 64)])
def test_tiles_of_frames_of_any_size(portrait, size):
    face = np.asarray(Image.fromarray(portrait.astype(np.float32)).resize(size[::-1]), dtype=float)
    shifts = SHIFTS[:4]
    found = drift(drifting(face, shifts), tiles=True)
    np.testing.assert_allclose(found, shifts, atol=0.3 if min(size) < 50 else 0.12)
    np.testing.assert_array_equal(found[0], 0)


def test_tiles_of_a_drift_larger_than_a_tile(portrait):
    shifts = np.array([[0, 0], [13.4, -9.2], [-21.0, 0.5]])
    np.testing.assert_allclose(drift(drifting(portrait, shifts), tiles=True), shifts, atol=0.15)
    whole_pixels = drift(drifting(portrait, np.rint(shifts)), tiles=True, subpixel=False)
    np.testing.assert_array_equal(whole_pixels, np.rint(shifts))


def test_tiles_with_nothing_in_them_have_no_say(portrait):
    shifts = SHIFTS[:3]
    frames = drifting(portrait, shifts)
    frames[:, :48] = 7
    np.testing.assert_allclose(drift(frames, tiles=True), shifts, atol=0.15)
    for flat in (np.full((3, 64, 64), 7, np.uint8), np.full((3, 2, 3), 7, np.uint8)):
        assert not drift(flat, tiles=True).any()
    frames[1] = 9
    assert not drift(frames, tiles=True)[1].any()
    assert drift(frames[:1], tiles=True).shape == (1, 2)


def test_tiles_are_the_median_of_what_each_tile_measures(portrait):
    """Shifts below half a pixel: tiles that lie in the same place in both frames, each with `drift` alone."""
    frames = drifting(portrait, SHIFTS[[0, 1, 1]] * [[1], [1], [0.5]])
    tiles = [frames[:, y : y + 24, x : x + 20] for y in range(0, 96, 24) for x in range(0, 80, 20)]
    expected = np.median([drift(tile) for tile in tiles], axis=0)
    np.testing.assert_allclose(drift(frames, tiles=True), expected, atol=1e-12)


def test_stabilise_by_tiles_keeps_fractions_of_a_grey_level(portrait):
    frames = drifting(portrait, SHIFTS, noise=0.0)
    back = stabilise(frames, "tiles")
    assert back.dtype == np.uint16
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert (abs(back / 256 - frames[0])[inner].mean(axis=(1, 2)) < 1).all()
    np.testing.assert_array_equal(back[0], 256 * frames[0].astype(int))
    for frame, shift, moved in zip(frames[1:], drift(frames, tiles=True)[1:], back[1:], strict=True):
        exact = ndimage.shift(frame.astype(float), -shift, order=3, mode="nearest")
        assert abs(np.clip(256 * exact, 0, 65535) - moved).max() <= 1


def test_a_frame_that_was_not_moved_keeps_its_codes(portrait):
    frames = np.random.default_rng(0).integers(0, 256, (3, 96, 80), dtype=np.uint8)
    frames[0, :30], frames[1:] = 255, frames[0]
    back = stabilise(frames, "tiles")
    assert back.max() == 255 * 256
    np.testing.assert_array_equal(ltogp.encode(back), ltogp.encode(frames))


def test_white_and_black_do_not_run_over(portrait):
    frames = np.where(drifting(portrait, SHIFTS) > 128, 255, 0).astype(np.uint8)
    back = stabilise(frames, "tiles")
    exact = ndimage.shift(frames[1].astype(float), -drift(frames, tiles=True)[1], order=3, mode="nearest")
    assert exact.min() < -10  # splines go beyond both, and uint16 would come round
    assert exact.max() > 265
    assert (back[1][exact < 0] == 0).all()
    assert (back[1][exact > 256] == 65535).all()


def test_blur_is_a_gaussian_in_256ths_of_a_grey_level(tmp_path, portrait):
    frames = drifting(portrait, SHIFTS)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(len(frames))]

    def blurred(stack, sigma):
        return 256 * ndimage.gaussian_filter(stack.astype(float), (0, sigma, sigma), mode="nearest")

    for sigma in (0.5, 1, np.float64(2.5)):
        found = read_frames(paths, None, blur=sigma)
        assert found.dtype == np.uint16
        assert abs(found - blurred(frames, sigma)).max() < 0.6
        moved = stabilise(frames, "tiles", blur=sigma)
        exact = [
            ndimage.shift(frame.astype(float), -shift, order=3, mode="nearest")
            for frame, shift in zip(frames, drift(frames, tiles=True), strict=True)
        ]  # rounded once, after blurring
        assert abs(moved - blurred(np.stack(exact), sigma).clip(0, 65535)).max() < 0.6
    np.testing.assert_array_equal(read_clip(tmp_path, size=None, blur=1), read_frames(paths, None, blur=1))
    for off in (None, 0, 0.0):
        np.testing.assert_array_equal(read_frames(paths, None, blur=off), frames)
        assert read_frames(paths, None, stabilise="subpixel", blur=off).dtype == np.uint8


def test_resample_in_time():
    frames = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
    for n in (2, 3, 7, 13, 40):
        at = np.linspace(0, 6, n)
        expected = [[np.interp(at, range(7), frames[:, i, j]) for j in range(4)] for i in range(5)]
        found = resample(frames, n)
        assert found.dtype == np.uint8
        assert abs(found - np.moveaxis(expected, 2, 0)).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(resample(frames, 7), frames)
    np.testing.assert_array_equal(resample(frames, 13)[::2], frames)
    with pytest.raises(ClipError, match=r"has 1 frame\(s\)"):
        resample(frames[:1], 5)


def test_options_in_the_order_decode_stabilise_resample(tmp_path, portrait, videos):
    frames = drifting(portrait, SHIFTS)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    expected = resample(stabilise(frames, "subpixel"), 8)
    np.testing.assert_array_equal(read_clip(tmp_path, size=None, stabilise="subpixel", n_frames=8), expected)
    expected = resample(stabilise(frames, "tiles", blur=1), 8)
    found = read_frames(sorted(tmp_path.iterdir()), None, stabilise="tiles", blur=1, n_frames=8)
    assert found.dtype == expected.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    video = read_clip(videos.face, face=False, size=(36, 64), n_frames=10)
    assert video.shape == (10, 36, 64)
    for wrong in ({"stabilise": True}, {"n_frames": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
            read_clip(tmp_path, **wrong)
