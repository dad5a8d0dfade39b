"""Arrays that joblib's tasks share, on other machines too."""

from __future__ import annotations

import sys
from typing import Any

from joblib.parallel import get_active_backend


def share(*arrays: Any) -> Any:
    """Return the arrays as a tuple to give to every task of joblib; where Dask runs them, as its future.

    They are sent once, and every worker asks another one for its copy. What joblib's backend scatters by
    itself is lost with the last worker that holds it, and the run with it; this the scheduler can send again.
    Whatever else a task takes goes into a tuple, which joblib leaves in the task: arrays from 1 kB on it
    scatters, each one by one.
    """
    client = getattr(get_active_backend()[0], "client", None)
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        return arrays
    import dask

    # Of graphs above 10 MB Dask warns, because they usually hold the same array in each task.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(_tuple_of, *arrays, pure=False)


def _tuple_of(*arrays: Any) -> tuple[Any, ...]:
    return arrays
