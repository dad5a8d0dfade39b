"""
The full experiment
===================

What ``microexpr evaluate`` does, from Python, on a small simulated data set of six drawn faces: with and
without selection, leave one subject out, N and C as given and chosen inside the training folds, and Fig. 4.
"""

import tempfile

import matplotlib.pyplot as plt

import microexpr
from microexpr import plots
from microexpr.experiment import Settings, extract_and_evaluate

folder = tempfile.mkdtemp()
microexpr.simulate(folder, subjects=6, clips=60, frames=(20, 30), progress=False)
table = microexpr.read_casme2(folder)
settings = Settings(
    n_features=100,
    sweep_blocks=((4, 4), (8, 8)),
    sweep_n_features=(25, 50, 100, 200),
    C_grid=(0.001, 0.1, 1.0),
    inner_splits=3,
)
evaluation = extract_and_evaluate(table, settings, n_jobs=1, progress=False)
print(evaluation)

# %%
# The rows, with 95 % intervals from resampling people. Six people are few: the intervals say so.

plots.plot_comparison(evaluation)

# %%
# Fig. 4: accuracy over N for each grid of blocks. The best cell is chosen by the test clips, so that it is
# optimistic.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plots.plot_sweep(evaluation, ax)

# %%
# Which classes are taken for which, and how each person fares:

with_selection = next(row for row in evaluation.rows if row.name == "with selection")
without = next(row for row in evaluation.rows if row.name == "without selection")
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
plots.plot_confusion(with_selection.scores, left, title="simulated, with selection")
plots.plot_subjects(with_selection.scores, right, against=without.scores, title="simulated")
