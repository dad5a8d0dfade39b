"""
Learning to rank
================

The RankSVM that orders frames in time orders documents by relevance, too: :class:`rankpool.RankSVM` forms
pairs inside a query only. A regression on the relevance has to fit the level of each query as well, which no
one asks for. The queries are drawn, 60 of 20 documents graded 0 to 3, so that the documents of a query have
much in common: that is where the two differ.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge

import rankpool

rng = np.random.default_rng(0)
queries, documents, d = 60, 20, 30
weights = rng.normal(size=d)
query = np.repeat(np.arange(queries), documents)
X = (
    rng.normal(size=(len(query), d)) + 3 * rng.normal(size=(queries, d))[query]
)  # what a query's documents share
utility = (X - np.repeat([X[query == q].mean(axis=0) for q in range(queries)], documents, axis=0)) @ weights
utility += 3 * rng.normal(size=len(query))
relevance = np.digitize(utility, np.quantile(utility, [0.5, 0.75, 0.9]))

# %%
# The first 5, 10, 20 and 40 queries train, the last 20 are tested. Normalised discounted cumulative gain is 1
# for a perfect order of the documents of every query.

test = query >= 40
sizes = (5, 10, 20, 40)
ndcg = {"RankSVM": [], "ridge regression on relevance": []}
for n in sizes:
    train = query < n
    ranker = rankpool.RankSVM(C=0.01).fit(X[train], relevance[train], groups=query[train])
    ridge = Ridge().fit(X[train], relevance[train])
    for name, scores in zip(ndcg, (ranker.decision_function(X[test]), ridge.predict(X[test])), strict=True):
        ndcg[name].append(rankpool.ndcg(relevance[test], scores, groups=query[test]))
print(f"gap of the last RankSVM: {ranker.dual_gap_:.1e}")

# %%
# A random order has the dashed line's.

chance = np.mean(
    [rankpool.ndcg(relevance[test], rng.normal(size=test.sum()), groups=query[test]) for _ in range(20)]
)
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for (name, values), marker, colour in zip(ndcg.items(), "os", ("#0072b2", "#d55e00"), strict=True):
    ax.plot(sizes, values, marker=marker, color=colour, label=name)
ax.axhline(chance, color="black", linestyle="--", linewidth=1, label="random order")
ax.set_xscale("log")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.set_xlabel("queries to learn from (logarithmic)")
ax.set_ylabel("NDCG on 20 other queries")
ax.legend()
