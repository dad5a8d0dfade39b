"""
Has a clip an order?
====================

Rank pooling puts any frames in order, shuffled ones too: with fewer frames than features it always can. So
:func:`rankpool.held_out_scores` scores frames that the solver has not seen. Here is a simulated clip of a
drawn face, the same frames in random order, and a clip of the face in which nothing happens but noise.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

import ltogp
import microexpr
import rankpool
from microexpr.data import read_frames
from microexpr.plots import plot_held_out_scores

folder = tempfile.mkdtemp()
microexpr.simulate(folder, subjects=2, clips=4, frames=(60, 60), progress=False)
table = microexpr.read_casme2(folder)
frames = read_frames(table["frames"][0], size=(128, 128))
rng = np.random.default_rng(0)
still = np.clip(frames[0] + rng.normal(0, 1, frames.shape), 0, 255).round().astype(np.uint8)
clips = {
    "a simulated expression": frames,
    "the same, shuffled": rng.permutation(frames),
    "noise alone": still,
}

# %%
# The scores of frames that the solver has seen rise in all three: they say nothing.

figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
for ax, (name, clip) in zip(axes, clips.items(), strict=True):
    V = ltogp.histogram(clip)
    scores = V @ rankpool.rank_svm(V).u
    ax.plot(scores - scores.mean(), ".", color="#999999")
    ax.set_title(name, fontsize=10)
    ax.set_xlabel("frame")
axes[0].set_ylabel("u·v of frames seen,\nless its mean")

# %%
# Those of frames held out rise only where there is an order. Kendall's τ has a mean of 0 on shuffled frames,
# whatever the frames are, and a standard deviation of some 0.15 on clips like these: :doc:`/describe`.

# sphinx_gallery_thumbnail_number = 2
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, (name, clip) in zip(axes, clips.items(), strict=True):
    plot_held_out_scores(rankpool.held_out_scores(ltogp.histogram(clip)), ax)
    ax.set_title(f"{name}\n{ax.get_title()}".strip(), fontsize=10)
for ax in axes[1:]:
    ax.set_ylabel("")
