"""
Selected parts of the face
==========================

Each row of W belongs to a code in a block of the face. How much of W lies in each block says what the
selection looks at, averaged over the folds; and where u itself is long says where a face moves. On simulated
clips both can be held against the truth, because the simulation says which muscles act.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

import microexpr
from microexpr import plots
from microexpr.data import motion_field
from microexpr.experiment import Settings, extract_and_evaluate

folder = tempfile.mkdtemp()
microexpr.simulate(f"{folder}/data", subjects=6, clips=60, frames=(20, 30), progress=False)
table = microexpr.read_casme2(f"{folder}/data")
settings = Settings(n_features=100, sweep=False, nested=False)
evaluation = extract_and_evaluate(table, settings, n_jobs=1, progress=False)

figure, ax = plt.subplots(figsize=(5.5, 4.6), layout="constrained")
plots.plot_face_parts(evaluation, ax)

# %%
# Noise makes u nearly as long in every block. Above: where it is longer or shorter in the clips of a class
# than in all clips, on average. Below: how far the simulation moves each block for that class.

clips = microexpr.extract(table, progress=False)
lengths = np.linalg.norm(clips.X.reshape(len(clips.X), 8, 8, 256), axis=3)
names = ("happiness", "surprise", "disgust")
figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), layout="constrained")
for column, name in zip(axes.T, names, strict=True):
    of_class = lengths[(clips.table["emotion"] == name).to_numpy()].mean(axis=0)
    more = 100 * (of_class / lengths.mean(axis=0) - 1)
    moved = np.hypot(*motion_field(name, (128, 128))).reshape(8, 16, 8, 16).mean(axis=(1, 3))
    plots.plot_blocks(more, evaluation.face, column[0], unit=" %", signs=("longer", "shorter"))
    plots.plot_blocks(100 * moved / moved.sum(), evaluation.face, column[1], unit=" %")
    column[0].set_title(f"{name}: u, against all clips", fontsize=10)
    column[1].set_title(f"{name}: where it moves", fontsize=10)
