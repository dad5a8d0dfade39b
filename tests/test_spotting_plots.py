"""The picture of what was spotted."""

import numpy as np
import pytest

from microexpr.plots import plot_spotting
from microexpr.spotting import Event, Spotting


@pytest.mark.parametrize("n_events", [0, 3, 25])
def test_the_picture_shows_the_curve_the_threshold_and_the_events(n_events):
    n = 30_000
    C = np.zeros(n)
    C[:100] = C[-100:] = np.nan
    rng = np.random.default_rng(0)
    apexes = 500 + 1000 * np.arange(n_events)
    C[apexes] = 1 + rng.uniform(size=n_events)
    events = [Event(t - 9, t, t + 9, (t - 9) / 100, t / 100, (t + 9) / 100, C[t]) for t in apexes]
    thumbnails = [np.full((3, 16, 16), 7 * i, np.uint8) for i in range(n_events)]
    figure = plot_spotting(
        Spotting(events, C, 0.75, 24, 100.0), thumbnails, title="a video", coded=[(40, 90)]
    )
    ax = next(ax for ax in figure.findobj(lambda artist: hasattr(artist, "get_xlabel")) if ax.get_xlabel())
    assert ax.get_xlabel() == "time (s)"
    drawn = {line.get_label(): line for line in ax.lines}
    assert drawn["threshold"].get_ydata()[0] == 0.75
    assert drawn["coded"].get_xdata().tolist() == [0.4, 0.9]
    curve = drawn["contrast"].get_ydata()
    assert set(C[apexes]) <= set(curve)  # no peak is lost on the way to fewer points
    assert [patch.get_x() for patch in ax.patches] == [event.onset_s for event in events]
    numbers = [int(text.get_text()) for text in ax.texts]
    pictures = [
        image
        for image in figure.findobj(lambda artist: hasattr(artist, "get_array"))
        if image.get_array() is not None
    ]
    shown = [image.get_array() for image in pictures if np.shape(image.get_array()) == (16, 16)]
    assert len(shown) == 3 * min(8, n_events)
    if n_events == 25:
        highest = sorted(np.argsort(C[apexes])[-8:] + 1)
        assert numbers == highest
        assert [int(image[0, 0]) // 7 + 1 for image in shown[:8]] == highest
    else:
        assert numbers == list(range(1, n_events + 1))
