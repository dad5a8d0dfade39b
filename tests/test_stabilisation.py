"""Drift measured and undone, and clips resampled in time."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from microexpr.data import ClipError, drift, read_clip, resample, stabilise


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
    for function in (stabilise, lambda frames: resample(frames, 5)):
        with pytest.raises(TypeError, match=r"^frames have dtype uint16; they must be uint8"):
            function(frames)
    for wrong in (None, 1, 2.5):
        with pytest.raises(ValueError, match=r"^n_frames is"):
            resample(frames.astype(np.uint8), wrong)
    with pytest.raises(ValueError, match=r"^method is None|^stabilise is 'both'"):
        stabilise(frames.astype(np.uint8), "both")


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
    whole = stabilise(frames, "integer")
    np.testing.assert_array_equal(whole[3][inner[1:]], frames[3][10:-6, 11:-5])
    np.testing.assert_array_equal(whole[0], frames[0])


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
    video = read_clip(videos.face, face=False, size=(36, 64), n_frames=10)
    assert video.shape == (10, 36, 64)
    for wrong in ({"stabilise": True}, {"n_frames": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
            read_clip(tmp_path, **wrong)
