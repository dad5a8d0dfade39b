"""
Five-minute tour
================

From frames to classes, step by step: texture by ``ltogp``, temporal order by ``rankpool``, selection by
``l21``, and ``microexpr``, which does the three and a linear SVM. The faces are drawn and the clips
**simulated**: the data sets of micro-expressions are under licence.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

import ltogp
import microexpr
import rankpool
from microexpr import plots
from microexpr.data import read_frames

folder = tempfile.mkdtemp()
microexpr.simulate(f"{folder}/data", subjects=6, clips=48, frames=(20, 30), progress=False)
table = microexpr.read_casme2(f"{folder}/data")
table[["subject", "clip", "emotion", "onset", "offset"]].head()

# %%
# **Texture.** A clip is frames (T, 128, 128). Each pixel becomes a code of eight bits, the signs of
# second-order gradients in eight directions, and a frame becomes the counts of the codes in 8 × 8 blocks.

clip = int(np.flatnonzero(table["emotion"] == "surprise")[0])
frames = read_frames(table["frames"][clip], size=(128, 128))
V = ltogp.histogram(frames, blocks=(8, 8))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
left.imshow(frames[len(frames) // 2], cmap="gray")
left.set_xlabel("a frame of a simulated clip")
left.set_xticks([])
left.set_yticks([])
plots.plot_codes(frames[len(frames) // 2], right, name="that frame")
print(frames.shape, "->", V.shape)

# %%
# **Order.** Rank pooling finds the weights u whose scores u·v rise with time, by solving a RankSVM over all
# pairs of frames. The relative duality gap says how far from the optimum it can be at most.

result = rankpool.rank_svm(V, C=1.0)
print(f"u {result.u.shape}, gap {result.gap:.1e}, solved by {result.method!r}")

# %%
# With more features than frames any order can be had. What says something are the scores of frames that the
# solver has not seen: where they rise, and Kendall's τ is near 1, the clip has an order.

held_out = rankpool.held_out_scores(V)
plt.figure(figsize=(6, 3.2), layout="constrained")
plots.plot_held_out_scores(held_out, plt.gca())

# %%
# :func:`microexpr.describe` does both steps, and a picture shows them. Noise flips signs everywhere, so that
# u is nearly as long in every block: where the classes differ is for the next step to find.

u = microexpr.describe(frames)
figure = plots.plot_description(frames, u, held_out=held_out, title="simulated, surprise")

# %%
# **Selection and classes.** The classifier standardises, keeps the features with the largest rows of W in the
# joint ℓ2,1 problem, and trains a linear SVM. One person is left out at a time, and all predictions are
# scored together.

clips = microexpr.extract(table, progress=False)
y, people = clips.table["emotion"], clips.table["subject"]
scores = microexpr.loso(clips.X, y, people, microexpr.make_classifier(n_features=100), progress=False)
without = microexpr.loso(clips.X, y, people, microexpr.make_classifier(n_features="all"), progress=False)
print(f"{len(y)} simulated clips: {scores.accuracy:.0%} with selection, {without.accuracy:.0%} without")

plt.figure(figsize=(5, 4), layout="constrained")
plots.plot_confusion(scores, plt.gca(), title="simulated, one of six people left out")

# %%
# On real faces the same is harder, and none were at hand: what it shows, and what it does not, is in the
# :doc:`results </results>`.
