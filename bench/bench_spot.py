"""Spotting in a long video, beside decoding it alone, beside its length, and beside scikit-image's LBP.

    pytest bench --benchmark-only -k spot

The video is simulated: one drawn face, 128 x 128 pixels, 200 frames a second, half a minute (6000 frames),
as H.264 without loss, and the same encoded at CRF 18, as cameras do. What is compared runs in turn.
scikit-image describes 500 of the frames.
"""

from statistics import median
from time import perf_counter

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from microexpr import spot
from microexpr.data import simulate_long, stream_clip
from microexpr.spotting import spot_video

TITLE = "spotting, simulated video of 128 x 128 pixels at 200 frames a second"
SECONDS, FPS, ROUNDS, FEW = 30, 200, 3, 500


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    import av

    folder = tmp_path_factory.mktemp("bench")
    simulate_long(folder / "long", videos=1, seconds=SECONDS, fps=FPS, video=True, progress=False)
    lossless, camera = folder / "long/video01.mp4", folder / "camera.mp4"
    with av.open(str(camera), "w") as container:
        options = {"preset": "medium", "crf": "18"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height = stream.width = 128
        stream.pix_fmt = "yuv420p"
        for frame in opened(lossless):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return {"without loss": lossless, "CRF 18": camera}


def opened(path):
    return stream_clip(path, face=False, progress=False)


def decode(path):
    for _ in opened(path):
        pass


def seconds(function, *arguments, **options):
    started = perf_counter()
    function(*arguments, **options)
    return perf_counter() - started


def usual(frames, k=49):
    """Do as this field's code does: scikit-image's LBP, histograms of blocks, chi-squared distances."""
    rows = []
    for frame in frames:
        codes = local_binary_pattern(frame, 8, 1)
        blocks = [part for band in np.array_split(codes, 6) for part in np.array_split(band, 6, axis=1)]
        rows.append([np.histogram(block, 256, (0, 256), density=True)[0] for block in blocks])
    V = np.array(rows)
    mean = (V[: -2 * k] + V[2 * k :]) / 2
    return ((V[k:-k] - mean) ** 2 / (V[k:-k] + mean + 1e-12)).sum(axis=2)


@pytest.mark.parametrize("kind", ["without loss", "CRF 18"])
@pytest.mark.parametrize("method", ["rank", "difference"])
def test_spot_beside_decoding(benchmark, videos, lines, kind, method):
    path, n = videos[kind], SECONDS * FPS

    def spotted():
        spot_video(opened(path), method=method)

    spotted()  # warm
    times = [(seconds(decode, path), seconds(spotted)) for _ in range(ROUNDS)]
    benchmark.pedantic(spotted, rounds=1)
    alone, spotting = (median(column) for column in zip(*times, strict=True))
    ratio = median(ours / decoded for decoded, ours in times)
    benchmark.extra_info.update(rate=n / spotting, decoding=n / alone)
    lines.append(
        f"{method}, {kind}: {n / spotting:.0f} frames a second, {SECONDS / spotting:.1f} times faster than "
        f"it plays; decoding alone {n / alone:.0f}: {ratio:.2f} times its time"
    )


@pytest.mark.parametrize("features", ["ltogp", "lbp"])
def test_spot_beside_scikit_image(benchmark, videos, lines, features):
    frames = [frame for frame, _ in zip(opened(videos["CRF 18"]), range(FEW), strict=False)]

    def spotted():
        spot(frames, FPS, features=features, method="difference")

    spotted()  # warm
    theirs, ours = seconds(usual, frames), seconds(spotted)
    benchmark.pedantic(spotted, rounds=2)
    lines.append(
        f"difference of {features}, {FEW} frames decoded already: {1e6 * ours / FEW:.0f} µs a frame; "
        f"scikit-image and NumPy {1e6 * theirs / FEW:.0f}: {theirs / ours:.0f} times faster"
    )
