"""
The ℓ2,1 path
=============

At γ up to the critical one W = 0 is optimal; above it features enter, as whole rows of W. :func:`l21.path`
goes along γ with warm starts, and each solution carries its duality gap. The matrix is drawn: 80 samples of
three classes, 300 features, of which the first five tell the classes apart.
"""

import matplotlib.pyplot as plt
import numpy as np

import l21

rng = np.random.default_rng(0)
classes = np.tile(["a", "b", "c"], 27)[:80]
X = rng.normal(size=(80, 300))
Y, names = l21.one_hot(classes)
X[:, :5] += 1.2 * Y @ rng.normal(size=(3, 5))

factors = np.geomspace(1, 30, 25)
results = l21.path(X, Y, l21.critical_gamma(X, Y) * factors, progress=False)
lengths = np.array([np.linalg.norm(result.W, axis=1) for result in results])
print(f"largest relative gap: {max(result.gap for result in results):.1e}")

# %%
# The five that matter enter first. Far out, where nearly every sample is met exactly, W takes in noise.

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7, 5), layout="constrained", sharex=True, height_ratios=(2, 1)
)
top.plot(factors, lengths[:, 5:], color="#bbbbbb", linewidth=0.8)
lines = top.plot(factors, lengths[:, :5], color="#0072b2", linewidth=2)
top.legend([lines[0], top.lines[0]], ["the five that matter", "295 of noise"], loc="upper left")
top.set_ylim(top=1.35 * lengths.max())  # room for the legend
top.set_ylabel("length of a row of W")
bottom.plot(
    factors,
    np.count_nonzero(lengths, axis=1),
    "o-",
    color="black",
    markersize=3,
    label="rows that are not zero",
)
bottom.plot(
    factors,
    [np.count_nonzero(result.residuals < 1e-3) for result in results],
    "s--", color="#d55e00", markersize=3, label="samples met exactly (of 80)",
)  # fmt: skip
bottom.legend(fontsize=9)
bottom.set_xscale("log")
bottom.set_xticks([1, 2, 5, 10, 20, 30], ["1", "2", "5", "10", "20", "30"])
bottom.minorticks_off()
bottom.set_xlabel("γ, in multiples of the critical one (logarithmic)")
bottom.set_ylabel("count")
