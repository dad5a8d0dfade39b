"""
A slide in tiles
================

An image that need not fit in memory is described tile by tile: :func:`ltogp.histogram_map` has the histogram
of a window about every few pixels, and reads and writes memory maps, zarr or HDF5. Clustering its rows gives
a map of what the tissue looks like. The slide here is drawn of three textures under a mask.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from skimage import data
from sklearn.cluster import MiniBatchKMeans

import ltogp

folder = Path(tempfile.mkdtemp())
side = 2048
y, x = np.mgrid[:side, :side]
texture = [np.tile(picture, (4, 4)) for picture in (data.brick(), data.grass(), data.gravel())]
region = (x + 150 * np.sin(y / 200) > side * 0.45).astype(int) + (np.hypot(x - 1500, y - 1450) < 380)
slide = np.memmap(folder / "slide.raw", np.uint8, "w+", shape=(side, side))
slide[:] = np.choose(region, texture)
tissue = np.hypot(x - side / 2, (y - side / 2) * 1.15) < side * 0.47

# %%
# A window of 64 × 64 pixels every 16: rows of 10 numbers each, the bins of ``mapping="uniform"``. Nothing
# outside the mask is counted, and tiles without any of it are not even read.

window, stride = 64, 16
X = ltogp.histogram_map(slide, window, stride, mapping="uniform", normalize="l1", mask=tissue)
seen = X.any(axis=2)
labels = np.full(seen.shape, -1)
labels[seen] = MiniBatchKMeans(3, random_state=0, n_init=3).fit_predict(X[seen])
print(slide.shape, "->", X.shape)

# %%
# Elements of the map lie on the slide as its reduction by the stride does.

colours = ListedColormap(["#ffffff", "#0072b2", "#e69f00", "#009e73"])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained", sharex=True, sharey=True)
left.imshow(np.where(tissue, slide, 255)[::2, ::2], cmap="gray", extent=(0, side, side, 0))
left.set_title("the slide, drawn of three textures", fontsize=10)
right.imshow(labels, cmap=colours, vmin=-1, vmax=2, extent=(0, side, side, 0), interpolation="nearest")
right.set_title("clusters of its local histograms", fontsize=10)
right.legend(
    handles=[Patch(color=colours(k + 1), label=f"cluster {k + 1}") for k in range(3)],
    loc="lower left", fontsize=8,
)  # fmt: skip
for ax in (left, right):
    ax.set_xlabel("pixels")
