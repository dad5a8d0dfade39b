"""
Actions of a thermal sensor
===========================

Sitting down is standing up backwards: frames averaged over time cannot tell them apart, rank pooling can. The
clips here are **simulated**, a warm blob seen from above by 16 × 16 pixels; ``python docs/actions.py`` does
the same on the real ones of Kawashima et al. (2017), and :doc:`/actions` says what came out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

import rankpool

rng = np.random.default_rng(0)
y, x = np.mgrid[:16, :16]


def clip(direction, person):
    """Draw someone who gets smaller and moves a little (sitting down), or backwards (standing up)."""
    frames = rng.integers(12, 30)
    start = rng.uniform(5, 10, 2)
    step = rng.normal(0, 1.5, 2)
    sizes = np.linspace(3.0, 2.8, frames) + 0.2 * person
    at = start + np.linspace(0, 1, frames)[:, None] * step
    warmth = rng.normal(6, 1, frames)
    blobs = [np.exp(-((y - i) ** 2 + (x - j) ** 2) / (2 * s**2)) for (i, j), s in zip(at, sizes, strict=True)]
    return (22 + warmth[:, None, None] * blobs + rng.normal(0, 1.0, (frames, 16, 16)))[::direction]


people = np.repeat(np.arange(6), 20)
labels = np.tile(["sitting down", "standing up"], 60)
directions = np.where(labels == "sitting down", 1, -1)
clips = [clip(direction, person) for direction, person in zip(directions, people, strict=True)]

# %%
# Five frames of a clip:

figure, axes = plt.subplots(1, 5, figsize=(9, 2.2), layout="constrained")
for ax, t in zip(axes, np.linspace(0, len(clips[0]) - 1, 5).round().astype(int), strict=True):
    image = ax.imshow(clips[0][t], cmap="inferno", vmin=20, vmax=30)
    ax.set_title(f"frame {t}", fontsize=10)
    ax.set_axis_off()
figure.colorbar(image, ax=axes, label="°C", shrink=0.8)

# %%
# One person is left out at a time. A clip backwards has -u, so that features are scaled and not centred, and
# the SVM has no intercept.

pooled = {
    "mean": [V.reshape(len(V), -1).mean(axis=0) for V in clips],
    "rank pooling": [rankpool.dynamic_image(V).ravel() for V in clips],
    "approximate": [rankpool.dynamic_image(V, method="approximate").ravel() for V in clips],
}
classifier = make_pipeline(MaxAbsScaler(), LinearSVC(C=0.01, fit_intercept=False))
accuracy = {
    name: 100 * cross_val_score(classifier, X, labels, groups=people, cv=LeaveOneGroupOut())
    for name, X in pooled.items()
}
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for place, (name, values) in enumerate(accuracy.items()):
    ax.barh(place, values.mean(), color="#999999" if name == "mean" else "#0072b2")
    ax.plot(values, np.full(len(values), place) + np.linspace(-0.25, 0.25, len(values)), ".", color="black")
    ax.text(2, place, f"{values.mean():.0f} %", va="center", color="white", weight="bold")
ax.axvline(50, color="black", linestyle=":", linewidth=1)
ax.set_yticks(range(3), accuracy)
ax.invert_yaxis()
ax.set_xlim(0, 103)
ax.set_xlabel("right, % (bars: all; points: each person left out; dotted: chance)")
ax.set_title("simulated thermal clips: sitting down or standing up?", fontsize=10)
