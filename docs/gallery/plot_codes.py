"""
LTOGP codes of a face
=====================

The code of a pixel is eight signs: bit k is set where the second difference c - 2a + b in direction k is not
negative, c being the pixel, a its neighbour and b the one behind. A code is no quantity, so that colours are
not of the number: hue is where the set bits point, brightness how many there are.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from skimage import data

import ltogp
from microexpr.plots import plot_codes

portrait = Image.fromarray(data.astronaut()).convert("L").crop((142, 5, 322, 185))  # NASA, public domain
face = np.asarray(portrait.resize((128, 128)))
codes = ltogp.encode(face)

figure, (left, middle) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
left.imshow(face, cmap="gray", vmin=0, vmax=255)
left.set_xlabel("a face, 128 × 128")
left.set_xticks([])
left.set_yticks([])
plot_codes(face, middle, name="it")

# %%
# The eight bits one by one: dark where the second difference to the east, the north-east, and so on, is
# negative.

names = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
figure, axes = plt.subplots(2, 4, figsize=(8, 4.3), layout="constrained")
for k, ax in enumerate(axes.flat):
    ax.imshow(codes >> k & 1, cmap="gray", interpolation="nearest")
    ax.set_title(f"bit {k}: {names[k]}", fontsize=10)
    ax.set_axis_off()

# %%
# What goes on are counts: of 256 codes in each of 8 × 8 blocks, 16384 numbers. Two blocks of them:

histogram = ltogp.histogram(face, blocks=(8, 8)).reshape(8, 8, 256)
figure, axes = plt.subplots(2, 1, figsize=(8, 3.6), layout="constrained", sharex=True, sharey=True)
for ax, (i, j), name in zip(axes, ((4, 2), (6, 3)), ("an eye", "the mouth"), strict=True):
    ax.bar(np.arange(256), histogram[i, j], width=1.0, color="#0072b2")
    ax.set_title(f"block ({i}, {j}), at {name}", loc="left", fontsize=10)
    ax.set_ylabel("pixels")
axes[1].set_xlabel("LTOGP code")
