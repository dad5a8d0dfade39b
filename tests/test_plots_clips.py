"""What the figures of a clip show."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv
from matplotlib.figure import Figure
from matplotlib.text import Text

import ltogp
from microexpr import describe
from microexpr.plots import plot_codes, plot_description, plot_held_out_scores
from rankpool import HeldOutScores, held_out_scores

matplotlib.use("Agg")


@pytest.fixture
def ax():
    return Figure(figsize=(4, 4)).subplots()


@pytest.fixture(scope="module")
def frames():
    """A dot in the upper right quarter that grows bigger, in noise."""
    y, x = np.mgrid[:32, :32]
    dot = np.exp(-((y - 8) ** 2 + (x - 24) ** 2) / 20)
    noise = np.random.default_rng(0).normal(0, 1, (24, 32, 32))
    return np.clip(100 + noise + 4 * np.arange(24)[:, None, None] * dot, 0, 255).astype(np.uint8)


def shown_codes(codes, ax, monkeypatch, **options):
    monkeypatch.setattr(ltogp, "encode", lambda frame: np.asarray(codes, dtype=np.uint8))
    plot_codes(np.zeros(np.shape(codes)), ax, **options)
    return np.asarray(ax.get_images()[0].get_array())


def hue(colour):
    return rgb_to_hsv(np.clip(colour, 0, 1))[0]


def test_codes_are_coloured_by_where_their_bits_point(ax, monkeypatch):
    turned = [(0b00000111 << k | 0b00000111 >> (8 - k)) & 255 for k in range(8)]  # three bits side by side
    colours = shown_codes([turned], ax, monkeypatch)[0]
    hues = np.array([hue(colour) for colour in colours])
    steps = np.diff(np.append(hues, hues[0])) % 1.0
    assert (steps > 0.03).all()  # around the circle of hues, once
    assert steps.sum() == pytest.approx(1.0)
    brightness = colours @ [0.2126, 0.7152, 0.0722]
    assert np.ptp(brightness) < 0.12  # as many bits, as bright
    # one bit or three around it point the same way
    single = shown_codes([[0b00000010]], ax.figure.add_subplot(), monkeypatch)[0, 0]
    assert hue(single) == pytest.approx(hues[0], abs=0.03)


def test_codes_that_point_nowhere_are_grey_and_as_bright_as_they_have_bits(ax, monkeypatch):
    codes = [0, 0b00010001, 0b01010101, 0b10101010, 0b01110111, 255]
    colours = shown_codes([codes], ax, monkeypatch)[0]
    assert np.ptp(colours, axis=1).max() < 1e-4
    grey = colours[:, 0]
    assert grey[2] == pytest.approx(grey[3])  # 85 and 170: the number itself is nothing
    assert (np.diff(grey[[0, 1, 2, 4, 5]]) > 0.1).all()
    assert grey[-1] == pytest.approx(1.0, abs=1e-6)


def test_the_wheel_beside_the_codes_has_their_colours(frames, ax):
    plot_codes(frames[0], ax)
    wheel, bar = ax.child_axes
    picture = np.asarray(wheel.get_images()[0].get_array())
    colours = np.asarray(ax.get_images()[0].get_array())
    codes = ltogp.encode(frames[0])
    four = [0b00001111 << k & 255 | 0b00001111 << k >> 8 for k in range(8)]  # the most one-sided ones
    present = [code for code in four if (codes == code).any()]
    assert len(present) > 4
    for code in present:
        pointing = np.exp(0.25j * np.pi * np.array([k for k in range(8) if code >> k & 1])).sum()
        pointing *= 0.98 / abs(pointing)
        at = round(50 - 50 * pointing.imag), round(50 + 50 * pointing.real)
        np.testing.assert_allclose(picture[at], colours[codes == code][0], atol=0.05)
    assert np.asarray(bar.get_images()[0].get_array()).shape[:2] == (9, 1)


def test_codes_say_of_which_frame_they_are(frames, ax):
    plot_codes(frames[2], ax, blocks=(4, 2), name="frame 3")
    assert ax.get_xlabel() == "LTOGP codes of frame 3,\nin 4 × 2 blocks"
    assert len(ax.lines) == 3 + 1


def test_held_out_scores(ax):
    scores = np.array([-2.0, -1.0, 1.0, 0.5])
    assert plot_held_out_scores(HeldOutScores(scores, 0.67, 2), ax) is ax
    (points,) = (line for line in ax.lines if line.get_marker() == "o")
    assert points.get_xdata().tolist() == [1, 2, 3, 4]
    assert points.get_ydata().tolist() == scores.tolist()
    assert ax.get_title() == "Kendall's τ 0.67 of frames held out"
    assert ax.get_xlabel() == "frame"
    in_seconds = plot_held_out_scores(HeldOutScores(scores, 0.67, 2), ax.figure.add_subplot(), fps=2)
    assert in_seconds.lines[1].get_xdata().tolist() == [0, 0.5, 1, 1.5]
    assert in_seconds.get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    ("T", "words"),
    [
        (2, "no Kendall's τ:\n2 frames are too few"),
        (3, "no Kendall's τ:\n3 frames are too few"),
        (8, "no Kendall's τ:\nall frames held out score alike"),
    ],
)
def test_clips_without_an_order(T, words):
    frames = np.full((T, 32, 32), 50, dtype=np.uint8)
    figure = plot_description(frames, np.zeros(1024), blocks=(2, 2))
    (title,) = (text for text in figure.findobj(Text) if text.get_text() == words)
    figure.draw_without_rendering()
    box = title.get_window_extent()
    assert box.x0 >= 0  # not cut off
    assert box.x1 <= figure.bbox.x1


def test_description(frames):
    u = describe(frames, blocks=(2, 2))
    figure = plot_description(frames, u, blocks=(2, 2), title="a dot")
    codes, length, scores = (
        next(ax for ax in figure.axes if words in ax.get_xlabel() + ax.get_ylabel())
        for words in ("LTOGP codes of frame 13,", "length of u", "frames held out")
    )
    np.testing.assert_array_equal(
        scores.lines[1].get_ydata(), held_out_scores(ltogp.histogram(frames, (2, 2))).scores
    )
    drawn = [circle for circle in length.patches if circle.get_gid() != "legend"]
    areas = np.array([circle.radius**2 for circle in drawn])
    by_block = np.linalg.norm(u.reshape(4, 256), axis=1)
    np.testing.assert_allclose(areas / areas.max(), by_block / by_block.max())
    assert areas.argmax() == 1  # where the dot is
    np.testing.assert_allclose(length.get_images()[0].get_array(), frames.mean(axis=0))
    np.testing.assert_array_equal(codes.get_images()[0].get_array().shape, (32, 32, 3))
    sizes = [text.get_text() for text in length.texts]
    assert len(sizes) == 3
    assert all(size.endswith(" %") for size in sizes)
    with pytest.raises(ValueError, match=r"u has shape \(1024,\); of 8 x 8 blocks it must be \(16384,\)"):
        plot_description(frames, u)


def test_a_shuffled_clip_is_seen_to_have_no_order(frames):
    """As rank pooling's own scores are not: they rise by 1 a frame."""
    shuffled = np.random.default_rng(0).permutation(frames)
    V = ltogp.histogram(shuffled, (2, 2))
    np.testing.assert_allclose(np.diff(V @ describe(shuffled, blocks=(2, 2))), 1, rtol=1e-6)
    assert held_out_scores(ltogp.histogram(frames, (2, 2))).tau > 0.7
    assert abs(held_out_scores(V).tau) < 0.5
