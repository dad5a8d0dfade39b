"""
Dynamic images
==============

Rank pooling of the pixels themselves is a picture of how they change: bright where a pixel becomes brighter,
dark where it becomes darker, grey where it stays. :func:`rankpool.dynamic_image` solves for it exactly;
``method="approximate"`` is one weighted sum, as Bilen et al. (2016) have it. The clips are simulated
expressions of a drawn face.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import rankpool
from microexpr.data import CLASSES, draw_face, motion_field

face = draw_face((128, 128), seed=1)
grid = np.indices(face.shape).astype(float)
rng = np.random.default_rng(0)


def expression(name, frames=30, pixels=2.0):
    """Warp the face by the field of a class, from nothing to `pixels`, in noise."""
    field = motion_field(name, face.shape)
    moved = [
        ndimage.map_coordinates(face, grid - strength * field, order=1, mode="nearest")
        for strength in np.linspace(0, pixels, frames)
    ]
    return np.array(moved) + rng.normal(0, 1, (frames, *face.shape))


names = CLASSES[:3]
figure, axes = plt.subplots(3, 3, figsize=(7, 7.2), layout="constrained")
for row, name in zip(axes, names, strict=True):
    clip = expression(name)
    pictures = [
        clip[-1],
        rankpool.dynamic_image(clip),
        rankpool.dynamic_image(clip, method="approximate"),
    ]
    row[0].imshow(pictures[0], cmap="gray")
    for ax, picture in zip(row[1:], pictures[1:], strict=True):
        reach = np.abs(picture).max()
        ax.imshow(picture, cmap="gray", vmin=-reach, vmax=reach)
    row[0].set_ylabel(name)
for ax, title in zip(axes[0], ("last frame", "exact", "approximate"), strict=True):
    ax.set_title(title)
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])

# %%
# The two are nearly the same picture here. Where they part, and which is better for what, is measured on real
# clips in :doc:`/actions`.
