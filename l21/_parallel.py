"""Arrays that joblib's tasks share, on other machines too."""

from __future__ import annotations

import sys
from typing import Any

from joblib.parallel import get_active_backend


def share(*arrays: Any) -> Any:
    """Return what to give to every task of joblib, for `received` to make the arrays of there.

    That is a tuple of them or, where Dask runs the tasks, its future: they are sent once, and every worker
    asks another one for its copy. What joblib's backend scatters by itself is lost with the last worker that
    holds it, and the run with it; this the scheduler can send again. Whatever else a task takes goes into a
    tuple, which joblib leaves in the task: arrays from 1 kB on it scatters, each one by one.
    """
    client = getattr(get_active_backend()[0], "client", None)
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        return arrays
    import dask

    # Of graphs above 10 MB Dask warns, because they usually hold the same array in each task.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(_tuple_of, *arrays, pure=False)


def received(data: Any) -> tuple[Any, ...]:
    """Return the arrays that were given to `share`.

    A worker is given them for Dask's future. Where the cluster has one thread, joblib runs the tasks here.
    """
    return data if isinstance(data, tuple) else data.result()


def _tuple_of(*arrays: Any) -> tuple[Any, ...]:
    return arrays
