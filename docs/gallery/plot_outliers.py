"""
Outliers: which labels are wrong?
=================================

The ℓ2,1 loss counts a sample by its distance and not by its square: it lets a few be far off. Those are worth
a look. Here are 500 of scikit-learn's digits, 50 of them with a wrong label.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

import l21

digits = load_digits()
X, y = StandardScaler().fit_transform(digits.data[:500]), digits.target[:500].copy()
wrong = np.random.default_rng(0).choice(500, 50, replace=False)
y[wrong] = (y[wrong] + 1) % 10

selector = l21.L21Selector(gamma=("critical", 30.0)).fit(X, y)
found = np.isin(selector.outliers_[:50], wrong).sum()
print(f"of the 50 samples furthest off, {found} have a wrong label")

# %%
# The residuals, sorted, the wrong labels marked:

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
l21.plot_residuals(selector.residuals_, ax, marked=wrong)

# %%
# The twelve furthest off, as one would look through them:

figure, axes = plt.subplots(2, 6, figsize=(8, 3.4), layout="constrained")
for ax, sample in zip(axes.flat, selector.outliers_, strict=False):
    ax.imshow(digits.images[sample], cmap="gray_r")
    truth = digits.target[sample]
    ax.set_title(f"said {y[sample]}, " + (f"is {truth}" if truth != y[sample] else "as it is"), fontsize=9)
    ax.set_axis_off()
