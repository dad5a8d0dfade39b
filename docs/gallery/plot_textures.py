"""
LTOGP beside LBP on textures
============================

Brick, grass and gravel, cut into patches; the left half of each picture trains, the right half is tested, and
the answer is the nearest neighbour's in Hellinger distance. LTOGP and the LBP of scikit-image see the same
pixels and have 256 bins each. ``templates="lbp"`` of ``ltogp`` has the LBP of the square neighbourhood.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.feature import local_binary_pattern
from sklearn.neighbors import KNeighborsClassifier

import ltogp

pictures = {"brick": data.brick(), "grass": data.grass(), "gravel": data.gravel()}


def patches(picture, size):
    """Cut a picture without overlap into (n, size, size)."""
    down, across = (length // size for length in picture.shape)
    cut = picture[: down * size, : across * size].reshape(down, size, across, size)
    return cut.swapaxes(1, 2).reshape(-1, size, size)


def lbp(images):
    """Count scikit-image's LBP codes: 8 neighbours at radius 1."""
    codes = [local_binary_pattern(image, 8, 1).astype(int).ravel() for image in images]
    return np.array([np.bincount(code, minlength=256) for code in codes])


descriptors = {
    "LTOGP": lambda images: ltogp.histogram(images, blocks=(1, 1)),
    "LBP, square: templates='lbp'": lambda images: ltogp.histogram(images, blocks=(1, 1), templates="lbp"),
    "LBP, circle: scikit-image": lbp,
}
sizes = (8, 12, 16, 24, 32)
accuracy = {name: [] for name in descriptors}
for size in sizes:
    halves = [
        [patches(picture[:, part], size) for picture in pictures.values()]
        for part in (slice(0, 256), slice(256, 512))
    ]
    y = np.repeat(list(pictures), len(halves[0][0]))
    for name, describe in descriptors.items():
        train, test = (np.sqrt(describe(np.concatenate(half))) for half in halves)
        accuracy[name].append(KNeighborsClassifier(1).fit(train, y).score(test, y))

# %%
# The smaller the patch, the fewer pixels a histogram has, and the harder it gets.

figure, axes = plt.subplots(1, 4, figsize=(9, 3), layout="constrained", width_ratios=(1, 1, 1, 2.4))
for ax, (name, picture) in zip(axes, pictures.items(), strict=False):
    ax.imshow(picture[:64, :64], cmap="gray")
    ax.set_title(name, fontsize=10)
    ax.set_axis_off()
for (name, values), marker, colour in zip(
    accuracy.items(), "os^", ("#0072b2", "#d55e00", "#009e73"), strict=True
):
    axes[3].plot(sizes, 100 * np.array(values), marker=marker, color=colour, label=name)
axes[3].set_xticks(sizes)
axes[3].set_xlabel("side of a patch, pixels")
axes[3].set_ylabel("right, % (chance 33)")
axes[3].legend(fontsize=8, loc="lower right")

# %%
# On small patches LBP is the better of the two, as in most comparisons of ``python docs/ltogp_texture.py``.
# LTOGP is what the paper takes for faces; on textures it is another descriptor beside LBP.
