"""Spotting: curves against their equations, events against slow searches, a stream against the whole."""

import re
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import ltogp
import microexpr
import rankpool
from microexpr import ClipError, Spotter, spot, spot_stream
from microexpr.spotting import SpottingOptions
from microexpr.spotting.curves import METHODS, Curve, blurred, moving_mean
from microexpr.spotting.events import Finder, Interval, contrast, merge, threshold_of

FPS = 30
K = 7  # half of the longest expression at 30 frames a second


def scene(n_frames, *apexes, size=48, half=5, seed=0, noise=1.0):
    """A face-like texture whose left half moves and moves back, `half` frames each way, at each apex."""
    rng = np.random.default_rng(seed)
    face = ndimage.gaussian_filter(128 + 400 * rng.standard_normal((size, size)), 1.5, mode="wrap")
    video = np.stack([face] * n_frames)
    for apex in apexes:
        for t in range(apex - half, apex + half + 1):
            moved = ndimage.shift(face, (3 * (1 - abs(t - apex) / half), 0), mode="wrap")
            video[t, :, : size // 2] = moved[:, : size // 2]
    return np.clip(np.rint(video + noise * rng.standard_normal(video.shape)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def video():
    return scene(200, 60, 130)


# ------------------------------------------------------------------------------------------------- curves


def chi2_twin(V, i, k, pixels):
    h, m = V[i] / pixels, (V[i - k] + V[i + k]) / 2 / pixels
    return np.divide((h - m) ** 2, h + m, out=np.zeros_like(h), where=h + m > 0).sum(axis=1)


def rank_twin(V, i, k, pixels):
    before, after = (
        rankpool.approximate_rank_pool(window.reshape(k + 1, -1).astype(float)).reshape(V[0].shape)
        for window in (V[i - k : i + 1], V[i : i + k + 1])
    )
    weights = abs(2 * np.arange(1, k + 2) - k - 2).sum()
    return np.linalg.norm(before - after, axis=1) / pixels[:, 0] / weights


@pytest.mark.parametrize(("method", "twin"), [("difference", chi2_twin), ("rank", rank_twin)])
@pytest.mark.parametrize("features", ["ltogp", "lbp"])
def test_a_curve_is_its_equation(video, method, twin, features):
    frames, k = video[:40, :30, :34], 4  # blocks of different sizes
    V = ltogp.histogram(frames, (3, 2), templates=features).reshape(len(frames), 6, 256)
    pixels = V[0].sum(axis=1, keepdims=True)
    state = METHODS[method](k, pixels[:, 0].astype(float))
    got = [state.feed(t, row.reshape(-1)) for t, row in enumerate(V)][2 * k :]
    np.testing.assert_allclose(
        got, [twin(V, i, k, pixels) for i in range(k, len(V) - k)], rtol=1e-5, atol=1e-9
    )


def test_approximate_rank_pooling_has_the_weights_that_the_docs_say():
    V = np.random.default_rng(0).integers(0, 9, (6, 4)).astype(float)
    u = rankpool.approximate_rank_pool(V)
    plain = (2 * np.arange(1, 7) - 7) @ V
    np.testing.assert_allclose(u / np.linalg.norm(u), plain / np.linalg.norm(plain))


def test_the_largest_blocks_are_averaged(video):
    kept = np.array([[True, True, False], [True, True, True]])
    plain = {}
    for method in METHODS:
        whole = Curve(3, method, "ltogp", 5, np.ones((2, 3), bool), False)
        part = Curve(3, method, "ltogp", 2, kept, False)
        V = ltogp.histogram(video[:20], (2, 3))
        state = METHODS[method](3, V[0].reshape(6, 256).sum(axis=1, dtype=float))
        blocks = np.array([state.feed(t, row) for t, row in enumerate(V)][6:])[:, kept.ravel()]
        median = np.median(blocks, axis=1) if method == "rank" else 0
        np.testing.assert_allclose(part.feed(video[:20]), np.sort(blocks)[:, -2:].mean(axis=1) - median)
        plain[method] = whole.feed(video[:20])
        assert len(plain[method]) == 14
    assert not np.allclose(plain["rank"], plain["difference"])


def test_what_stays_or_drifts_steadily_cancels_in_rank_pooling():
    rows = np.arange(40)[:, None] * np.arange(256)[None] + 3  # histograms that grow evenly
    state = METHODS["rank"](5, np.array([100.0]))
    got = [state.feed(t, row.astype(np.float32)) for t, row in enumerate(rows)][10:]
    np.testing.assert_array_equal(got, 0)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_curve_does_not_depend_on_how_frames_come(video, method):
    kept = np.ones((3, 3), bool)
    whole = Curve(K, method, "ltogp", 3, kept, True).feed(video)
    curve, cuts = Curve(K, method, "ltogp", 3, kept, True), [0, 1, 2, 30, 31, 95, 200]
    pieces = [curve.feed(video[a:b]) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (31, 17)])
def test_frames_are_blurred_by_two_pixels(shape):
    weights = np.polynomial.polynomial.polypow([1, 1], 4)
    weights = np.convolve(weights, np.polynomial.polynomial.polypow([1, 0, 1], 3)) / 128
    at = np.arange(-5, 6)
    assert (weights.sum(), weights @ at, weights @ at**2) == (1, 0, 4)
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    frame[0, 0] = 255
    slow = frame.astype(float)
    for axis in (0, 1):
        slow = ndimage.correlate1d(slow, weights, axis=axis, mode="nearest")
    np.testing.assert_array_equal(blurred(frame), np.floor(slow * 256 + 0.5))
    assert blurred(np.full(shape, 255, np.uint8)).min() == 255 * 256


def test_moving_mean():
    F = np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(moving_mean(F, 3), np.convolve(F, np.ones(7) / 7, "valid"))
    assert len(moving_mean(F[:4], 3)) == 0


# ------------------------------------------------------------------------------------------------- events


def find(C, level, k, *, edge=0.0, shortest=1, longest=10**6, gap=1):
    finder = Finder(
        k, lambda seen: level, len(C), edge=edge, gap=gap, shortest=shortest, longest=longest, first=0
    )
    return finder.feed(np.asarray(C, float)) + finder.finish()


def slow_events(C, level, k, edge, gap):
    """The definition, peak by peak, and intervals merged until none overlap."""
    apart, found = max(1, k // 2), []
    for i, value in enumerate(C):
        near = [j for j in range(len(C)) if 0 < abs(i - j) <= apart]
        largest = all(C[j] < value or (C[j] == value and j > i) for j in near)
        if value > 0 and value > level and largest:
            onset = min(a for a in range(max(0, i - k), i + 1) if (np.array(C[a:i]) >= edge * value).all())
            offset = max(b for b in range(i, min(len(C), i + k + 1)) if min(C[i : b + 1]) >= edge * value)
            found.append([onset, i, offset, value])
    while True:
        for a, b in ((a, b) for a in found for b in found if a is not b):
            if a[0] <= b[2] + gap and b[0] <= a[2] + gap:
                found.remove(a)
                found.remove(b)
                apex = max(a, b, key=lambda one: (one[3], -one[1]))
                found.append([min(a[0], b[0]), apex[1], max(a[2], b[2]), apex[3]])
                break
        else:
            return sorted(map(tuple, found))


def test_a_triangle_is_found_where_it_is():
    C = np.zeros(60) - 1
    C[20:31] = [1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]
    assert find(C, 3, 10) == [Interval(20, 25, 30, 6.0)]
    assert find(C, 3, 3) == [Interval(22, 25, 28, 6.0)]  # at most k frames from the apex
    assert find(C, 3, 10, edge=0.5) == [Interval(22, 25, 28, 6.0)]
    assert find(C, 6, 10) == []  # the threshold must be exceeded
    assert find(C, 3, 10, longest=10) == find(C, 3, 10, shortest=12) == []


def test_two_peaks_that_touch_are_one_event_and_two_that_do_not_are_two():
    C = np.full(80, -1.0)
    C[20:31] = 6 - abs(np.arange(20, 31) - 25)
    C[31:42] = 7 - abs(np.arange(31, 42) - 36)
    assert find(C, 3, 10) == [Interval(20, 36, 41, 7.0)]
    C[31:] = np.roll(C[31:], 1)
    assert find(C, 3, 10) == [Interval(20, 25, 30, 6.0), Interval(32, 37, 42, 7.0)]


values = st.lists(st.integers(-3, 9), min_size=1, max_size=60)


@given(values, st.integers(0, 4), st.integers(1, 8), st.sampled_from([0.0, 0.3, 0.8]), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_events_are_those_of_the_slow_search(C, level, k, edge, gap):
    assert find(C, level, k, edge=edge, gap=gap) == slow_events(C, level, k, edge, gap)


@given(values, st.lists(st.integers(1, 9), max_size=20), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_events_do_not_depend_on_how_the_curve_comes(C, cuts, k):
    finder = Finder(k, lambda seen: 2.0, 5, edge=0.2, gap=1, shortest=1, longest=99, first=0)
    got, at = [], 0
    for cut in [*cuts, len(C)]:
        got += finder.feed(np.array(C[at : at + cut], float))
        assert len(finder.values) <= max(5, 2 * k + 1) + 3 * k
        at += cut
    assert got + finder.finish() == find(C, 2.0, k, edge=0.2, longest=99)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_merged_intervals_cover_the_same_frames(pairs, gap):
    intervals = [Interval(a, a + n // 2, a + n, float(a % 7)) for a, n in pairs]
    out = merge(intervals, gap)
    covered = {t for one in intervals for t in range(one.onset, one.offset + 1)}
    assert covered <= {t for one in out for t in range(one.onset, one.offset + 1)}
    assert {one.onset for one in out} | {one.offset for one in out} <= covered
    assert all(b.onset > a.offset + gap for a, b in pairwise(out))
    assert max((one.score for one in out), default=0) == max((one.score for one in intervals), default=0)


def test_contrast_and_threshold_are_their_equations():
    F = np.random.default_rng(1).normal(size=50)
    C = contrast(F, 6)
    assert len(C) == 38
    assert C[10] == F[16] - (F[10] + F[22]) / 2
    positive = np.maximum(C, 0)
    assert threshold_of(C, 0.3, 0) == pytest.approx(
        positive.mean() + 0.3 * (positive.max() - positive.mean())
    )
    sigma = 1.4826 * np.median(abs(C - np.median(C)))
    assert threshold_of(C, 0.0, 5) == pytest.approx(np.median(C) + 5 * sigma)


# --------------------------------------------------------------------------------------------------- spot


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("features", ["ltogp", "lbp"])
def test_movements_are_spotted_where_they_are(video, method, features):
    events = spot(video, FPS, method=method, features=features, eyes=None, noise=0, p=0.4)
    assert len(events) == 2
    for event, apex in zip(events, (60, 130), strict=True):
        assert abs(event.apex - apex) <= 1
        assert apex - K <= event.onset <= apex - 2
        assert apex + 2 <= event.offset <= apex + K
        assert event.onset_s == event.onset / FPS
        assert event.apex_s == event.apex / FPS


def test_nothing_is_spotted_where_nothing_moves():
    assert spot(scene(300, noise=0.0), FPS) == []
    assert spot(scene(300), FPS, noise=6) == []


def test_what_the_whole_output_says(video):
    result = spot(video, FPS, full_output=True)
    assert result.k == K
    known = ~np.isnan(result.contrast)
    assert len(result.contrast) == 200
    assert known.nonzero()[0][[0, -1]].tolist() == [2 * K + 1, 199 - 2 * K - 1]  # smoothed over 3 frames
    for event in result.events:
        assert event.score == result.contrast[event.apex] > result.threshold
    assert result.threshold == threshold_of(result.contrast[known], 0.25, 4.0)


def test_eyes_that_blink_are_left_out():
    blinks = scene(200)
    for apex in (50, 100, 150):
        for t in range(apex - 4, apex + 5):
            lid = round(8 * (1 - abs(t - apex) / 4))
            blinks[t, 16 : 16 + lid] = 160
    assert len(spot(blinks, FPS, eyes=None)) == 3
    # LTOGP reaches two pixels beyond a block and the blur a few more: a few codes change there.
    assert spot(blinks, FPS, eyes=(0.1, 0.75), threshold=0.01) == []
    assert len(spot(blinks, FPS, eyes=None, threshold=0.01)) == 3


def test_frames_come_as_an_array_a_list_or_an_iterator(video):
    whole = spot(video, FPS)
    assert whole
    assert spot(list(video), FPS) == spot(iter(video), FPS) == whole
    assert spot(np.ascontiguousarray(video[:, ::-1])[:, ::-1], FPS) == whole


class Model:
    """What a recogniser is, as far as spotting is concerned."""

    def __init__(self):
        self.clips = []

    def classify(self, frames):
        self.clips.append(frames)
        return SimpleNamespace(label="surprise", probability=0.5, probabilities={}, decision={}, unlike=False)


def test_a_model_is_given_the_frames_of_each_event(video):
    model = Model()
    events = spot(video, FPS, model=model)
    assert [event.classification.label for event in events] == ["surprise"] * len(events)
    assert len(events) > 1
    for event, clip in zip(events, model.clips, strict=True):
        np.testing.assert_array_equal(clip, video[event.onset : event.offset + 1])


def test_an_event_of_one_frame_has_no_class(video):
    """A frame alone has no order; the model would refuse it, and stop the rest."""
    options = {"edge": 1.0, "shortest": 0, "smooth": 0}
    events = spot(video, FPS, model=Model(), **options)
    alone = [event for event in events if event.onset == event.offset]
    assert alone
    assert all(event.classification is None for event in alone)
    assert [event._replace(classification=None) for event in events] == spot(video, FPS, **options)


def test_a_recogniser_classifies_what_is_spotted(video, tmp_path):
    root = microexpr.simulate(tmp_path / "data", subjects=3, clips=9, frames=(4, 5), progress=False)
    table = microexpr.read_casme2(root)
    recogniser = microexpr.train(table, blocks=(2, 2), n_features=50, progress=False)
    events = spot(video, FPS, model=recogniser)
    assert events
    for event in events:
        said = recogniser.classify(video[event.onset : event.offset + 1])
        assert event.classification.to_json() == said.to_json()


# ------------------------------------------------------------------------------------------------- streams


def test_a_generator_of_a_stream_is_a_spotter_fed_and_finished(video):
    spotter = Spotter(FPS)
    fed = [event for frame in video for event in spotter.feed(frame)] + spotter.finish()
    assert list(spot_stream(iter(video), FPS)) == fed
    assert fed


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("step", [1, 7, 200])
def test_with_a_fixed_threshold_a_stream_gives_what_the_whole_gives(video, method, step):
    options = {"method": method, "threshold": spot(video, FPS, method=method, full_output=True).threshold}
    whole = spot(video, FPS, **options)
    assert whole
    model = Model()
    spotter = Spotter(FPS, history=2, model=model, **options)
    events = [event for at in range(0, 200, step) for event in spotter.feed(video[at : at + step])]
    events += spotter.finish()
    assert [event._replace(classification=None) for event in events] == whole
    for event, clip in zip(events, model.clips, strict=True):
        np.testing.assert_array_equal(clip, video[event.onset : event.offset + 1])


def test_an_event_comes_out_at_most_a_window_after_its_offset(video):
    spotter = Spotter(FPS, threshold=0.005)
    window = 4 * K + 3 + 1  # smoothed over 3 frames
    seen = 0
    for t, frame in enumerate(video):
        for event in spotter.feed(frame):
            assert event.offset < t <= event.offset + window
            seen += 1
    assert seen >= 2
    assert spotter.finish() == []


def test_the_threshold_of_a_stream_is_that_of_the_last_seconds():
    """Up to k frames behind the peak; so a small movement counts once a large one is history."""
    C = np.zeros(300)
    C[40:51] = 60 - 10 * abs(np.arange(-5, 6))
    C[200:211] = 6 - abs(np.arange(-5, 6))
    seen = []

    def threshold(known):
        seen.append(known.copy())
        return threshold_of(known, 0.5, 0)

    finder = Finder(K, threshold, 100, edge=0, gap=1, shortest=1, longest=99, first=0)
    got = [one for value in C for one in finder.feed(np.array([value]))] + finder.finish()
    assert [one.apex for one in got] == [45, 205]
    np.testing.assert_array_equal(seen[0], C[: 45 + K + 1])
    np.testing.assert_array_equal(seen[1], C[205 + K + 1 - 100 : 205 + K + 1])
    assert [one.apex for one in find(C, threshold_of(C, 0.5, 0), K)] == [45]


def test_memory_does_not_grow_with_what_was_seen(video):
    spotter = Spotter(FPS, history=2, model=Model(), blocks=(2, 2))
    peaks = []
    spotter.feed(video)
    for _ in range(2):
        tracemalloc.start()
        for _ in range(8):
            spotter.feed(video)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert len(spotter._frames) == spotter._frames.maxlen
    assert len(spotter._finder.values) <= 2 * FPS + 3 * K


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "flow"}, "method is 'flow'; it must be 'difference' or 'rank'"),
        ({"features": "hog"}, "features is 'hog'; it must be 'ltogp' or 'lbp'"),
        ({"blocks": (6,)}, "blocks is (6,); it must be (down, across), each 1 to 64"),
        ({"blocks": (6, 6.5)}, "blocks is (6, 6.5)"),
        ({"n_largest": 31}, "n_largest is 31; it must be 1 to 30"),
        ({"n_largest": True}, "n_largest is True"),
        ({"eyes": (0.5, 0.2)}, "eyes is (0.5, 0.2); it must be (top, bottom)"),
        ({"eyes": (0, 1)}, "eyes is (0, 1), where all 6 rows of blocks lie"),
        ({"longest": np.nan}, "longest is nan; it must be positive"),
        (
            {"longest": 0.05, "shortest": 0, "smooth": 0},
            "longest is 0.05 s, 1 frames at 30 frames a second; at least 3",
        ),
        ({"shortest": 1}, "shortest is 1; it must be 0 to the longest, 0.5 seconds"),
        ({"p": 1.5}, "p is 1.5; it must be 0 to 1"),
        ({"p": np.nan}, "p is nan"),
        ({"noise": -1}, "noise is -1; it must be 0 to 1000"),
        ({"edge": "x"}, "edge is 'x'; it must be 0 to 1"),
        ({"smooth": 2}, "smooth is 2; it must be 0 to 0.5"),
        ({"blur": 2}, "blur is 2; it must be True or False"),
        ({"threshold": np.inf}, "threshold is inf; it must be 0 or more, and finite"),
    ],
)
def test_options_out_of_range(video, options, message):
    for function in (lambda: spot(video, FPS, **options), lambda: Spotter(FPS, **options)):
        with pytest.raises(ValueError, match=re.escape(message)):
            function()


@pytest.mark.parametrize("fps", [0, -1, np.nan, np.inf, "30", None, True])
def test_frames_per_second_out_of_range(video, fps):
    with pytest.raises(ValueError, match="fps is"):
        spot(video, fps)


@pytest.mark.parametrize("history", [0, np.nan, 0.5, np.inf, "x"])
def test_history_out_of_range(history):
    with pytest.raises(ValueError, match=r"history is .*; it must be at least 0\.967 seconds"):
        Spotter(FPS, history=history)


def test_frames_that_are_none(video):
    with pytest.raises(ValueError, match="picture in colour"):
        spot(np.zeros((50, 40, 3), np.uint8), FPS)
    with pytest.raises(ValueError, match="they must be grey"):
        spot(np.zeros((90, 40, 40, 3), np.uint8), FPS)
    with pytest.raises(TypeError, match="dtype float64; they must be uint8"):
        spot(video / 255, FPS)
    with pytest.raises(TypeError, match="masked array"):
        spot(np.ma.masked_array(video, video > 9), FPS)
    with pytest.raises(ValueError, match="different sizes"):
        spot([video[0], video[1, 1:]], FPS)
    with pytest.raises(ValueError, match=re.escape("shape (47, 48); those before have (48, 48)")):
        spot(iter([*video[:70], video[70, 1:]]), FPS)
    with pytest.raises(ValueError, match=re.escape("shape (47, 48); those before have (48, 48)")):
        spot(iter([*video[:64], *video[64:, 1:]]), FPS)  # between two that are described together
    spotter = Spotter(FPS)
    spotter.feed(video[0])
    with pytest.raises(ValueError, match=re.escape("shape (47, 48); those before have (48, 48)")):
        spotter.feed(video[1, 1:])
    with pytest.raises(TypeError, match="must have a method classify"):
        spot(video, FPS, model="model.skops")
    with pytest.raises(TypeError, match="model needs the frames again"):
        spot(iter(video), FPS, model=Model())


def test_too_few_frames(video):
    window = 4 * K + 3
    assert isinstance(spot(video[:window], FPS), list)
    with pytest.raises(ClipError, match=rf"there are {window - 1} frames, .* needs {window}, 1\.03 s"):
        spot(video[: window - 1], FPS)
    with pytest.raises(ClipError, match="there are 0 frames"):
        spot(iter([]), FPS)


def test_the_defaults_are_those_of_the_command_line():
    from microexpr._spotting_options import SPOTTING

    fields = SpottingOptions.__dataclass_fields__
    assert set(SPOTTING) == set(fields)
    for name, default in {"features": "ltogp", "p": "0.25", "noise": "4", "edge": "0"}.items():
        assert f"({default})" in SPOTTING[name]["help"], name
        assert (
            f"{fields[name].default:g}" == default if name != "features" else fields[name].default == default
        )
