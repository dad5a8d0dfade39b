"""
A Dask run
==========

Clips and folds go to whatever backend joblib is told of, a Dask cluster's workers among them, and come back
bit for bit the same. The cluster here is two workers on this machine; :doc:`/cluster` has others. Clips are
simulated.
"""

import tempfile

import joblib
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster, get_task_stream

import microexpr

folder = tempfile.mkdtemp()
microexpr.simulate(folder, subjects=4, clips=40, frames=(30, 40), progress=False)
table = microexpr.read_casme2(folder)
here = microexpr.extract(table, progress=False)

# %%
# ``processes=False`` keeps the workers in this process, so that the example starts at once.

with (
    LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
    Client(cluster) as client,
    joblib.parallel_config(backend="dask", client=client),
    get_task_stream(client) as tasks,
):
    there = microexpr.extract(table, progress=False)
print("the same bits:", np.array_equal(here.X, there.X))

# %%
# What each worker did when: a bar is a batch of clips, described.

rows = {worker: row for row, worker in enumerate(sorted({task["worker"] for task in tasks.data}))}
start = min(span["start"] for task in tasks.data for span in task["startstops"])
figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
for task in tasks.data:
    for span in task["startstops"]:
        if span["action"] == "compute":
            begin, end = (1000 * (span[key] - start) for key in ("start", "stop"))
            ax.barh(rows[task["worker"]], end - begin, 0.6, begin, color="#56b4e9", edgecolor="black")
ax.set_yticks(list(rows.values()), [f"worker {row + 1}" for row in rows.values()])
ax.invert_yaxis()
ax.set_xlabel("ms from the first task's start")
ax.set_title(f"{len(table)} simulated clips in {len(tasks.data)} tasks", fontsize=10)
