"""Every clip of a table to its representation, in memory or into a feature store."""

from __future__ import annotations

import inspect
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

from ._checks import check_clips
from ._progress import progress_bar
from ._recipe import Recipe, absolute, other_length, versions
from ._store_format import CHUNK_ROWS, Blocks, Kind
from ._wording import command_line, is_command_line
from .data import Problem
from .data.clips import check_options
from .data.cropping import Crop, check_crop
from .data.stabilisation import Stabilise
from .features import Features, FrameFunction, as_blocks, as_features, as_json, name_and_parameters
from .pipeline import Pooling, check_recipe, describe
from .pooling import POOLINGS, PoolingName, can_be_derived, derive
from .store import ALGORITHM, FeatureStore

if TYPE_CHECKING:
    import pandas as pd

    from ._objects import Location

__all__ = ["Extraction", "extract"]


@dataclass(frozen=True, eq=False, repr=False)
class Extraction:
    """What `extract` returns.

    Attributes
    ----------
    features : mapping
        From each kind of features that was asked for, (down, across) blocks or a name, to its array of shape
        (n, d), one row a clip. Where they are in a feature store, each is loaded when it is looked up.
    table : pandas.DataFrame
        The clips that could be described: rows of the table given, in order, one for each row of `features`.
    problems : list of Problem
        Why the others could not, one for each.
    n_computed, n_skipped : int
        How many clips were described, and how many the store had already.
    store : FeatureStore or None
        Where the features are kept.
    """

    features: Mapping[Kind, NDArray[np.float64]]
    table: pd.DataFrame
    problems: list[Problem]
    n_computed: int
    n_skipped: int
    store: FeatureStore | None

    @property
    def X(self) -> NDArray[np.float64]:
        """The features, shape (n, d), if one kind of them was asked for."""
        if len(self.features) > 1:
            raise ValueError(f"there are features of {list(self.features)}; say which: features[...]")
        return self.features[next(iter(self.features))]

    def __repr__(self) -> str:
        return (
            f"Extraction({len(self.table)} clips, features {list(self.features)}, "
            f"{len(self.problems)} problems, {self.n_computed} computed, {self.n_skipped} skipped)"
        )


def extract(
    table: pd.DataFrame,
    store: str | os.PathLike[str] | FeatureStore | None = None,
    *,
    blocks: Blocks | Sequence[Blocks] = (8, 8),
    size: tuple[int, int] = (128, 128),
    crop: Crop | None = None,
    stabilise: Stabilise | None = None,
    blur: float | None = None,
    n_frames: int | None = None,
    features: FrameFunction | Features | Sequence[FrameFunction | Features] | None = None,
    pooling: PoolingName | Pooling = "rank",
    n_jobs: int | None = -1,
    progress: bool | None = None,
    **options: Any,
) -> Extraction:
    """Describe every clip of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        As the readers of `microexpr.data` return it: the column ``frames`` lists a clip's image files, or is
        the part of a video that it is (`microexpr.data.VideoFrames`).
    store : path or FeatureStore, optional
        Keep the features in this feature store, made if it is not there; see `microexpr.store`. Clips
        whose features are there, from the same files and parameters and undamaged, are skipped. A file with
        another time but the same content counts as the same.
    blocks : (int, int) or list of (int, int)
        Number of blocks down and across; the frames are decoded once for all of a list.
    size : (int, int)
        Height and width that every frame is resized to, in pixels.
    crop : {"face", "eyes"}, optional
        Cut the face out of every clip by its box, or so that its eyes are level and at fixed places, as
        `microexpr.data.crop_frames` does; by default the clips are faces already.
    stabilise, blur, n_frames
        As in `microexpr.read_clip`; off by default.
    features : callable, Features or list of those, optional
        What describes the frames instead of LTOGP, as in `microexpr.describe`; the frames are decoded once
        for all of a list. Each needs a name of its own (`microexpr.Features`).
    pooling : {"rank", "mean", "mean+rank", "energy"} or callable
        What makes one vector of a clip's frames, as in `microexpr.describe`. A store notes its name, and the
        keywords of a `functools.partial`. One that was made with "mean+rank" holds the others too, and one
        with "rank" has "energy": what is missing in it is added as it was made, and what is asked for is
        derived from it, the same bit by bit.
    n_jobs : int, optional
        Number of clips worked on at a time, in threads, as in joblib; -1 uses every core.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.
    **options
        Further parameters of `microexpr.describe`.

    Returns
    -------
    Extraction
        The features, the rows of the table that belong to them, and why the other clips could not be
        described. Features from a store are the same as those from memory, bit by bit.

    Raises
    ------
    ValueError
        If no clip could be described, or an option is wrong.
    StoreError
        If `store` is something else, has other parameters, or another run is writing into it.
    OSError
        If the store cannot be written. What was written until then, or until an interruption, is kept.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(folder, subjects=2, clips=4, frames=(3, 4), progress=False)
    ...     clips = microexpr.extract(microexpr.read_casme2(root), blocks=[(8, 8), (4, 4)])
    >>> clips.features[4, 4].shape, len(clips.table), clips.problems
    ((4, 4096), 4, [])
    """
    check_clips(table, ("dataset", "subject", "clip", "frames"))
    effective_n_jobs(n_jobs)  # raises here what `Parallel` would raise after the store was made
    parameters = _parameters(blocks, size, crop, stabilise, blur, n_frames, features, pooling, options)
    kept_as = pooling if store is None else _pooling_in(store, pooling)
    recipe = Recipe(
        _functions(blocks, features),
        {"size": size, "crop": crop, "stabilise": stabilise, "blur": blur, "n_frames": n_frames},
        {**options, "pooling": kept_as},
        is_command_line(),
    )
    if store is None:
        return _in_memory(table, recipe, n_jobs, progress)

    kept = _open(store, {**parameters, **_noted(kept_as)})
    from ._filling import clearing_up

    try:
        with clearing_up(kept.objects):
            rows = kept.register(table, recipe.depends_on, versions(ALGORITHM))
            fill = _fill if _shares_memory() else _fill_elsewhere
            filled = fill(kept, table, rows, recipe, n_jobs, progress)
    except OSError as error:  # a clip's own are among the problems: this is the store's
        reason = error.strerror or error
        raise OSError(f"{kept.path} cannot be written: {reason}; what it holds is kept") from error
    problems = {k: _problem(table, k, what) for k, what in filled.problems.items()}
    _raise_if_none(table, problems)
    done = _without(table, problems)
    stored = _Stored(kept, recipe.functions, done, kept_as, pooling)
    return Extraction(stored, done, _in_order(problems), filled.n_computed, filled.n_skipped, kept)


class _Filled(NamedTuple):
    """What came of clips that were to be in a store: positions, or how many."""

    problems: dict[int, str]
    n_computed: int
    n_skipped: int


def _in_memory(table: pd.DataFrame, recipe: Recipe, n_jobs: int | None, progress: bool | None) -> Extraction:
    """Describe clips, and keep the features."""
    described: dict[Kind, list[NDArray[np.float64]]] = {kind: [] for kind in recipe.functions}
    problems: dict[int, Problem] = {}
    lengths: dict[Kind, int] = {}
    here = _shares_memory()
    jobs = (
        delayed(recipe.describe)(frames if here else absolute(frames), list(recipe.functions), False)
        for frames in table["frames"]
    )
    with closing(Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(jobs)) as work:
        for k, clip in enumerate(progress_bar(work, "extract", len(table), "clip", progress)):
            fault = clip if isinstance(clip, str) else other_length(clip, lengths)
            if fault:
                problems[k] = _problem(table, k, fault)
                continue
            for kind, u in clip.features.items():
                described[kind].append(u)
    _raise_if_none(table, problems)
    arrays = {kind: np.stack(rows) for kind, rows in described.items()}
    done = _without(table, problems)
    return Extraction(arrays, done, _in_order(problems), len(done), 0, None)


def _fill(
    store: FeatureStore,
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    recipe: Recipe,
    n_jobs: int | None,
    progress: bool | None,
    run: str | None = None,
) -> _Filled:
    """Describe what these clips lack in a store, in threads; of those of other runs wait for what they do."""
    from ._filling import Filling

    filling = Filling(store, table, rows, recipe.depends_on, run)
    lengths = store.lengths(recipe.functions) if run else {}
    frames = table["frames"]
    problems: dict[int, str] = {}

    def describe_clip(k: int) -> tuple[int, bool]:
        kinds = filling.begin(k)
        if not kinds:
            return k, False
        clip = recipe.describe(frames.iloc[k], kinds, True)
        fault = clip if isinstance(clip, str) else other_length(clip, lengths)
        if isinstance(clip, str) or fault:
            problems[k] = fault
            filling.fail(k)
            return k, False
        filling.add(k, clip)
        return k, True

    def looked_at(chunks: Sequence[int]) -> Iterable[int]:
        return progress_bar(chunks, "check", len(chunks), "chunk", progress, leave=False)

    def waiting() -> Iterator[int]:
        yield from progress_bar(count(), "wait for other runs", None, "look", progress, leave=False)

    n_computed = 0
    with filling.running():
        while todo := filling.todo(looked_at, waiting()):
            # As they come: of clips behind a long one, what is done is written.
            jobs = (delayed(describe_clip)(k) for k in todo)
            work = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator_unordered")(jobs)
            with closing(work):
                for _, computed in progress_bar(work, "extract", len(todo), "clip", progress):
                    n_computed += computed
    return _Filled({**filling.problems, **problems}, n_computed, filling.n_skipped)


def _fill_elsewhere(
    store: FeatureStore,
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    recipe: Recipe,
    n_jobs: int | None,
    progress: bool | None,
) -> _Filled:
    """Have workers of joblib's backend describe what these clips lack, each chunk of rows by one of them."""
    location = store.objects.shared_location()
    run = uuid.uuid4().hex  # a task that is done again, because its worker died, takes over its claims
    chunks = rows // CHUNK_ROWS
    parts = [np.flatnonzero(chunks == chunk) for chunk in np.unique(chunks)]

    def part_of_table(positions: NDArray[np.intp]) -> pd.DataFrame:
        part = table[["frames"]].iloc[positions]
        part.attrs = {}
        return part.assign(frames=[absolute(frames) for frames in part["frames"]])

    jobs = (
        # In a tuple: what is large joblib would scatter to Dask's workers, and lose with one that dies.
        delayed(_fill_part)(
            (number, location, store.parameters, part_of_table(part), rows[part], recipe, run)
        )
        for number, part in enumerate(parts)
    )
    problems: dict[int, str] = {}
    n_computed = n_skipped = 0

    def clips(work: Iterable[tuple[int, _Filled]]) -> Iterator[int]:
        nonlocal n_computed, n_skipped
        for number, filled in work:
            problems.update({int(parts[number][k]): what for k, what in filled.problems.items()})
            n_computed += filled.n_computed
            n_skipped += filled.n_skipped
            yield from parts[number].tolist()

    with closing(Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")(jobs)) as work:
        for _ in progress_bar(clips(work), "extract", len(table), "clip", progress):
            pass
    return _Filled(problems, n_computed, n_skipped)


def _fill_part(
    task: tuple[int, Location, dict[str, Any], pd.DataFrame, NDArray[np.intp], Recipe, str],
) -> tuple[int, _Filled]:
    """Do one chunk of rows, in a worker: its threads are other chunks'."""
    number, location, parameters, table, rows, recipe, run = task
    with command_line() if recipe.for_command_line else nullcontext():
        return number, _fill(_opened(run, location, parameters), table, rows, recipe, 1, False, run)


def _opened(run: str, location: Location, parameters: dict[str, Any]) -> FeatureStore:
    """Open the store once for all chunks of a run that a process does: on S3 it takes 30 requests."""
    global _last_opened
    opened = _last_opened  # a thread that works for another run may replace it at any time
    if opened is None or opened[0] != run:
        opened = _last_opened = run, FeatureStore(location, "a", parameters)
    return opened[1]


_last_opened: tuple[str, FeatureStore] | None = None


def _shares_memory() -> bool:
    """Whether joblib works in threads of this process: unless its caller named another backend."""
    return getattr(get_active_backend(prefer="threads")[0], "supports_sharedmem", False)


class _Stored(Mapping[Kind, NDArray[np.float64]]):
    """Features in a store, loaded when they are looked up."""

    def __init__(
        self,
        store: FeatureStore,
        functions: dict[Kind, Features | None],
        table: pd.DataFrame,
        kept_as: PoolingName | Pooling,
        pooling: PoolingName | Pooling,
    ) -> None:
        self._store, self._functions, self._table = store, functions, table
        self._kept_as, self._pooling = kept_as, pooling

    def __getitem__(self, kind: Kind) -> NDArray[np.float64]:
        function = self._functions[kind]
        X = self._store.load(kind, self._table)
        if not isinstance(self._pooling, str) or not isinstance(self._kept_as, str):
            return X
        blocks = as_blocks(kind) if function is None else function.blocks
        return derive(X, self._kept_as, self._pooling, blocks)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


def _pooling_in(
    store: str | os.PathLike[str] | FeatureStore, pooling: PoolingName | Pooling
) -> PoolingName | Pooling:
    """Return how a store's clips are pooled, if what is asked for can be derived from that."""
    if not isinstance(pooling, str):
        return pooling
    try:
        there = (store if isinstance(store, FeatureStore) else FeatureStore(store)).parameters
    except (OSError, ValueError):  # none yet, or `_open` says what is wrong with it
        return pooling
    noted = there.get("pooling", "rank")
    return noted if noted in POOLINGS and can_be_derived(noted, pooling) else pooling


def _noted(pooling: PoolingName | Pooling) -> dict[str, Any]:
    """Return what a store notes of a pooling, as JSON types: nothing of the paper's."""
    if isinstance(pooling, str):
        return {} if pooling == "rank" else {"pooling": pooling}
    return {"pooling": as_json(name_and_parameters(pooling))}


def _open(store: str | os.PathLike[str] | FeatureStore, parameters: dict[str, Any]) -> FeatureStore:
    path = store.objects.location if isinstance(store, FeatureStore) else store
    try:
        return FeatureStore(path, "a", parameters)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


def _functions(blocks: Any, features: Any) -> dict[Kind, Features | None]:
    """Return what describes frames, for each kind of features asked for; None is LTOGP."""
    if features is None:
        try:
            grids = [as_blocks(blocks)] if np.ndim(blocks) == 1 else list(map(as_blocks, blocks))
        except (TypeError, ValueError):
            grids = []
        if not grids:
            raise ValueError(
                f"blocks is {blocks!r}; it must be (down, across), each at least 1, or a list of such"
            )
        return dict.fromkeys(grids)
    given = features if isinstance(features, list | tuple) else [features]
    functions: dict[Kind, Features | None] = {}
    for function in map(as_features, given):
        if function.name in functions:
            raise ValueError(
                f"two features are called {function.name!r}; give one another: Features(function, name)"
            )
        functions[function.name] = function
    if not functions:
        raise ValueError("features is empty; it must be a function from frames to (T, d), or a list of such")
    return functions


def _parameters(
    blocks: Any,
    size: tuple[int, int],
    crop: Any,
    stabilise: Any,
    blur: Any,
    n_frames: Any,
    features: Any,
    pooling: Any,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Return what all features of a store depend on besides frames, defaults included, as JSON types."""
    if size is None:
        raise ValueError("size is None; features of frames of different sizes would not compare")
    check_options(stabilise, n_frames, size, blur)
    check_crop(crop)
    # Of `describe`, and no parameter of the features or an argument of `extract`.
    others = ("frames", "blocks", "n_jobs", "histograms", "full_output", "features", "pooling")
    signature = inspect.signature(describe).parameters.items()
    defaults = {name: parameter.default for name, parameter in signature if name not in others}
    unknown = [name for name in options if name not in defaults]
    if unknown:
        raise TypeError(f"extract has no option {unknown[0]!r}")
    for function in features if isinstance(features, list | tuple) else [features]:
        check_recipe(function, pooling, blocks=blocks, **options)
    chosen = {"size": size, "stabilise": stabilise, "n_frames": n_frames, **defaults, **options}
    if blur:  # noted only then: stores made before there was one stay valid
        chosen["blur"] = float(blur)
    if crop:
        chosen["crop"] = crop
    return as_json(chosen)


def _title(row: Any) -> str:
    dataset, subject = str(row["dataset"]), str(row["subject"])
    own = subject.removeprefix(f"{dataset}/")  # which `combine` puts before it
    folder = "sub" if dataset.startswith("CASME") else ""
    return f"clip {subject[: -len(own)]}{folder}{own}/{row['clip']}"


def _problem(table: pd.DataFrame, k: int, what: str) -> Problem:
    return Problem("clip", _title(table.iloc[k]), what)


def _in_order(problems: Mapping[int, Problem]) -> list[Problem]:
    return [problems[k] for k in sorted(problems)]


def _without(table: pd.DataFrame, problems: Mapping[int, Problem]) -> pd.DataFrame:
    return table[[k not in problems for k in range(len(table))]].reset_index(drop=True)


def _raise_if_none(table: pd.DataFrame, problems: Mapping[int, Problem]) -> None:
    if len(problems) == len(table):
        first = problems[min(problems)] if problems else "the table is empty"
        raise ValueError(f"no clip could be described; the first: {first}")
