"""Every clip of a table to its representation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from .clips import read_frames
from .pipeline import describe

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["extract"]


def extract(
    table: pd.DataFrame,
    *,
    size: tuple[int, int] = (128, 128),
    n_jobs: int | None = -1,
    progress: bool | None = None,
    **options: Any,
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Describe every clip of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        As `microexpr.read_casme2` returns it: the column ``frames`` lists a clip's image files.
    size : (int, int)
        Height and width that every frame is resized to, in pixels.
    n_jobs : int, optional
        Number of clips worked on at a time, in threads, as in joblib; -1 uses every core.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.
    **options
        Further parameters of `microexpr.describe`.

    Returns
    -------
    X : ndarray of shape (n, d)
        One row per clip that could be described.
    table : pandas.DataFrame
        The rows of the table that belong to them. A clip with a file that cannot be read is left out
        and named in ``table.attrs["problems"]``.

    Raises
    ------
    ValueError
        If no clip could be described.
    """

    def one(frames: list) -> NDArray[np.float64] | str:
        try:
            return describe(read_frames(frames, size, progress=False), n_jobs=1, **options)
        except (OSError, ValueError) as error:
            return str(error)

    work = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(one)(frames) for frames in table["frames"]
    )
    hidden = None if progress is None else not progress
    results = list(tqdm(work, "extract", len(table), unit="clip", delay=2, disable=hidden))

    described = [not isinstance(result, str) for result in results]
    problems = [
        f"clip sub{row.subject}/{row.clip}: {result}"
        for row, result in zip(table.itertuples(), results, strict=True)
        if isinstance(result, str)
    ]
    if not any(described):
        raise ValueError(f"no clip could be described; the first: {(problems or ['the table is empty'])[0]}")
    kept = table[described].reset_index(drop=True)
    kept.attrs = {**table.attrs, "problems": [*table.attrs.get("problems", []), *problems]}
    return np.stack([result for result in results if not isinstance(result, str)]), kept
