"""ltogp of images in colour: `channel_axis`, and what looks like colours without it."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

import ltogp
from ltogp import _threads

ASTRONAUT = data.astronaut()
GREY = np.asarray(Image.fromarray(ASTRONAUT).convert("L"))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_encode_in_colour(axis):
    image = ASTRONAUT[:40, :50]
    expected = np.stack([ltogp.encode(image[..., c].copy()) for c in range(3)], axis)
    np.testing.assert_array_equal(ltogp.encode(np.moveaxis(image, -1, axis), channel_axis=axis), expected)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -3, -4])
def test_clips_in_colour(axis):
    frames = np.stack([ASTRONAUT[i : 40 + i, :50] for i in range(6)])
    moved, channels = np.moveaxis(frames, -1, axis), [frames[..., c].copy() for c in range(3)]
    expected = np.stack([ltogp.encode(channel) for channel in channels], axis)
    np.testing.assert_array_equal(ltogp.encode(moved, channel_axis=axis), expected)
    mask = np.random.default_rng(0).random(frames.shape[:3]) < 0.5
    for options in [
        {},
        {"mask": mask},
        {"mask": mask[0], "normalize": "l2", "radius": (1, 2), "mapping": "uniform", "overlap": 0.5},
    ]:
        expected = np.concatenate([ltogp.histogram(x, (3, 2), **options) for x in channels], axis=1)
        actual = ltogp.histogram(moved, (3, 2), channel_axis=axis, **options)
        np.testing.assert_array_equal(actual, expected)
        out = np.empty_like(expected)
        assert ltogp.histogram(moved, (3, 2), channel_axis=axis, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        expected = np.concatenate([ltogp.histogram_top(x, (3, 2), **options) for x in channels])
        actual = ltogp.histogram_top(moved, (3, 2), channel_axis=axis, **options)
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("shape", [(1100, 1300, 3), (40, 100, 100, 4)])
def test_colours_with_many_threads(shape, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = ltogp.histogram(images, (2, 2), channel_axis=-1, n_jobs=1)
    codes = ltogp.encode(images, channel_axis=-1, n_jobs=1)
    monkeypatch.setattr(_threads, "thread_limit", lambda: 8)
    monkeypatch.setattr(_threads, "shared_pool", None)
    np.testing.assert_array_equal(ltogp.histogram(images, (2, 2), channel_axis=-1), expected)
    np.testing.assert_array_equal(ltogp.encode(images, channel_axis=-1), codes)


def test_histogram_of_one_image_in_colour():
    counts = ltogp.histogram(ASTRONAUT, (4, 4), channel_axis=-1)
    assert counts.shape == (3 * 4096,)
    np.testing.assert_array_equal(counts[4096:8192], ltogp.histogram(ASTRONAUT[..., 1].copy(), (4, 4)))


FUNCTIONS = [ltogp.encode, ltogp.histogram, ltogp.histogram_top, lambda x: ltogp.LTOGP().fit(x)]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_without_an_axis_is_refused(function, channels):
    image = np.zeros((50, 40, channels), np.uint8)
    message = rf"has shape \(50, 40, {channels}\), which looks like an image in colour: .*channel_axis=-1"
    with pytest.raises(ValueError, match=message):
        function(image)
    with pytest.raises(ValueError, match=r"shape \(6, 50, 40, \d\).*channel_axis=-1"):
        function(np.stack([image] * 6))
    with pytest.raises(ValueError, match="channel_axis=-1"):
        function([image] * 6)


def test_narrow_grey_images():
    narrow = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    expected = [ltogp.encode(image) for image in narrow]
    # as the error advises
    np.testing.assert_array_equal(ltogp.encode(narrow[..., None], channel_axis=-1)[..., 0], expected)
    counts = ltogp.histogram(narrow[..., None], (2, 2), channel_axis=-1)
    np.testing.assert_array_equal(counts, [ltogp.histogram(image, (2, 2)) for image in narrow])
    np.testing.assert_array_equal(ltogp.LTOGP((2, 2)).fit_transform(list(narrow)), counts)
    table = ltogp.LTOGP((2, 2), image_shape=(8, 3))
    np.testing.assert_array_equal(table.fit_transform(narrow.reshape(9, -1)), counts)
    # Three frames, 3 or 4 columns wide, are no picture; nor are the planes in time of a narrow clip.
    assert ltogp.encode(narrow[:3]).shape == (3, 8, 3)
    for clip in (narrow[:3], narrow[:, :3, [0, 1, 2, 0, 1, 2]]):
        assert ltogp.histogram_top(clip, (2, 2)).sum() == 3 * clip.size


@pytest.mark.parametrize(
    ("images", "axis", "error", "message"),
    [
        (ASTRONAUT, 3, ValueError, "channel_axis is 3, but images has the 3 axes (512, 512, 3)"),
        (ASTRONAUT, -4, ValueError, "channel_axis is -4, but images has the 3 axes"),
        (ASTRONAUT, 1.0, TypeError, "channel_axis is 1.0; must be None or an integer"),
        (ASTRONAUT, True, TypeError, "channel_axis is True; must be None or an integer"),
        (
            GREY,
            -1,
            ValueError,
            "shape (512, 512); with channel_axis=-1 it must be (H, W) or (T, H, W) and one",
        ),
        (ASTRONAUT[:, :, :0], -1, ValueError, "images has shape (512, 512, 0): it holds no pixel"),
        (ASTRONAUT[:0], -1, ValueError, "images has shape (0, 512, 3): it holds no pixel"),
    ],
)
def test_bad_channel_axis(images, axis, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ltogp.histogram(images, channel_axis=axis)
    with pytest.raises(error, match=re.escape(message.replace("images", "image"))):
        ltogp.encode(images, channel_axis=axis)


def test_bad_numbers_and_masks_in_colour():
    frames = np.zeros((5, 20, 30, 3), np.float32)
    frames[3, 4, 7, 1] = np.nan
    for function, name in [
        (ltogp.encode, "image"),
        (ltogp.histogram, "images"),
        (ltogp.histogram_top, "frames"),
    ]:
        message = f"channel 1 of {name} holds nan at frame 3, row 4, column 7; must be finite"
        with pytest.raises(ValueError, match=message):
            function(frames, channel_axis=-1)
    message = re.escape("mask has shape (5, 20, 30, 3); must be (20, 30) or (5, 20, 30), as the images")
    with pytest.raises(ValueError, match=message):
        ltogp.histogram(frames, channel_axis=-1, mask=np.ones(frames.shape, bool))


# ------------------------------------------------------------------------------------- LTOGP in colour


def test_estimator_in_colour():
    images = np.stack([ASTRONAUT[i : 20 + i, i : 30 + i] for i in range(8)])
    expected = ltogp.histogram(images, (2, 3), radius=(1, 2), channel_axis=-1, mapping="uniform")
    options = {"blocks": (2, 3), "radius": (1, 2), "mapping": "uniform"}
    for axis in (-1, 2):
        descriptor = ltogp.LTOGP(**options, channel_axis=axis)
        np.testing.assert_array_equal(descriptor.fit_transform(images), expected)
        np.testing.assert_array_equal(descriptor.transform(list(images)), expected)
        np.testing.assert_array_equal(descriptor.transform(pd.Series(list(images))), expected)
    first = ltogp.LTOGP(**options, channel_axis=0)  # of each image, not of X
    np.testing.assert_array_equal(first.fit_transform(images.transpose(0, 3, 1, 2)), expected)
    np.testing.assert_array_equal(first.fit_transform(list(images.transpose(0, 3, 1, 2))), expected)
    table = ltogp.LTOGP(**options, channel_axis=-1, image_shape=(20, 30, 3))
    np.testing.assert_array_equal(table.fit_transform(images.reshape(8, -1)), expected)
    frame = first.set_output(transform="pandas").fit_transform(images.transpose(0, 3, 1, 2))
    assert frame.columns[[0, 60, 120, -1]].tolist() == [
        "channel0_radius1_block0_0_uniform0",
        "channel0_radius2_block0_0_uniform0",
        "channel1_radius1_block0_0_uniform0",
        "channel2_radius2_block1_2_uniform9",
    ]
    assert len(frame.columns) == len(set(frame.columns)) == expected.shape[1]


def test_feature_names_say_the_channel():
    image = np.zeros((1, 6, 9, 3), np.uint8)
    image[0, 1, 7, 1] = 1  # its left neighbour's code is 254, in the second channel only
    descriptor = ltogp.LTOGP((3, 2), channel_axis=-1).fit(image)
    counts = dict(zip(descriptor.get_feature_names_out(), descriptor.transform(image)[0], strict=True))
    assert counts["channel1_block0_1_code254"] == 1
    assert counts["channel0_block0_1_code254"] == counts["channel2_block0_1_code254"] == 0


def test_bad_colours_in_the_estimator():
    images = np.zeros((4, 20, 30, 3), np.uint8)
    descriptor = ltogp.LTOGP(channel_axis=-1)
    with pytest.raises(ValueError, match="not fitted"):
        descriptor.get_feature_names_out()
    descriptor.fit(images)
    with pytest.raises(ValueError, match="X has 4 channels, but fit saw images of 3"):
        descriptor.transform(np.zeros((4, 20, 30, 4), np.uint8))
    with pytest.raises(ValueError, match="X holds images of 3 and of 4 channels"):
        descriptor.transform([images[0], np.zeros((20, 30, 4), np.uint8)])
    with pytest.raises(ValueError, match=r"X\[1\] has shape \(20, 30\); must be \(H, W\) and one axis of"):
        descriptor.transform([images[0], images[0, :, :, 0]])
    with pytest.raises(
        ValueError, match=r"image_shape is \(20, 30\); must be \(H, W\) and one axis of channels"
    ):
        ltogp.LTOGP(channel_axis=-1, image_shape=(20, 30)).fit(np.zeros((4, 600)))
    with pytest.raises(ValueError, match=r"image_shape is \(20, 30, 3\); must be \(H, W\); in colour, set"):
        ltogp.LTOGP(image_shape=(20, 30, 3)).fit(np.zeros((4, 1800)))
    with pytest.raises(ValueError, match="channel_axis is 3, but an image of X has the 3 axes"):
        ltogp.LTOGP(channel_axis=3).fit(images)
