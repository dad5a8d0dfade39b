"""
Spotting in a long video
========================

:func:`microexpr.spot` finds where micro-expressions begin, peak and end. A face that rests and a face that
drifts steadily are ordered alike before and after a moment; one that comes and goes is not. The video is
simulated: 15 seconds of a drawn face that sways, blinks and shows four expressions.
"""

import tempfile

from microexpr import plots
from microexpr.data import read_manifest, simulate_long, stream_clip
from microexpr.spotting import long_videos, spot_video, spotting_scores

folder = tempfile.mkdtemp()
manifest = simulate_long(folder, videos=1, seconds=15, fps=50, expressions=4, progress=False)
(video,) = long_videos(read_manifest(manifest), fps=50)
spotted = spot_video(stream_clip(video.source, progress=False), fps=50, thumbnails=True)
for event in spotted.spotting.events:
    print(f"frames {event.onset} to {event.offset}, apex at {event.apex_s:.2f} s, contrast {event.score:.3f}")

# %%
# The contrast over time, its threshold, what was spotted and, below the curve, what the simulation says is
# there.

figure = plots.plot_spotting(spotted.spotting, spotted.thumbnails, title="simulated", coded=video.coded)
print(spotting_scores({"video": spotted.spotting.events}, {"video": video.coded}))
