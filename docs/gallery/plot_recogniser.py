"""
Train, then classify
====================

:func:`microexpr.train` keeps everything that a new clip needs in one file without code, with the scores on
people left out. The file then answers for clips of people it has not seen: a class, calibrated probabilities,
and whether the clip is unlike anything trained on. Faces are drawn, clips simulated.
"""

import tempfile

import microexpr
from microexpr.plots import plot_classification

folder = tempfile.mkdtemp()
microexpr.simulate(f"{folder}/known", subjects=6, clips=60, frames=(20, 30), progress=False)
table = microexpr.read_casme2(f"{folder}/known")
recogniser = microexpr.train(table, n_features=100, n_jobs=1, progress=False)
recogniser.save(f"{folder}/model.npz")

# %%
# People of another seed are new to it.

recogniser = microexpr.Recogniser.load(f"{folder}/model.npz")
microexpr.simulate(f"{folder}/new", subjects=4, clips=20, frames=(20, 30), seed=7, progress=False)
new = microexpr.read_casme2(f"{folder}/new")
answers = [recogniser.classify(frames) for frames in new["frames"]]
right = sum(answer.label == truth for answer, truth in zip(answers, new["emotion"], strict=True))
print(f"{right} of {len(answers)} simulated clips of four new people are right")

# %%
# One of them: where on the face the selected features speak for its class (blue circles against it), and how
# sure it is.

right_ones = [k for k, answer in enumerate(answers) if answer.label == new["emotion"][k] == "happiness"]
chosen = right_ones[0]
title = f"a new person, simulated {new['emotion'][chosen]}"
figure = plot_classification(recogniser, answers[chosen], title=title)
