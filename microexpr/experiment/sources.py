"""Where an evaluation's features come from, and how they are pooled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._store_format import Kind
from ..extraction import Extraction, extract
from ..features import Features
from ..pooling import can_be_derived, check_blocks, derive
from ..store import FeatureStore
from .settings import Blocks, Settings, title

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FeatureSource", "extract_into", "source_of"]


class FeatureSource(NamedTuple):
    """Where features come from, and what is known of them."""

    load: Callable[[Any], Any]
    function: Features | None  # None: LTOGP's, by their blocks
    pooling: str | None = "rank"  # None: a function's

    def blocks(self, kind: Kind) -> Blocks | None:
        """Return the blocks of the face that features belong to."""
        return self.function.blocks if isinstance(kind, str) and self.function else kind  # type: ignore[return-value]

    def check(self, settings: Settings) -> None:
        """Raise unless each of the poolings can be had."""
        for pooling in settings.poolings:
            if self.pooling is None and pooling != "rank":
                raise ValueError(f"a function pools the clips: {pooling} cannot be had beside it")
            if self.pooling is not None and not can_be_derived(self.pooling, pooling):
                raise ValueError(
                    f"the features are pooled by {self.pooling}, of which {pooling} cannot be had: extract "
                    'them with pooling="mean+rank"'
                )
            if pooling == "energy" and self.function is not None:
                check_blocks(self.function.blocks, f"features {self.function.name}")

    def stored(self, kind: Kind, n: int) -> NDArray[Any]:
        """Return features as they are kept, (n, m), or raise what is wrong with them."""
        X = self.load(kind)
        if isinstance(X, np.ma.MaskedArray):
            raise TypeError(f"the features of {title(kind)} are a masked array")
        X = np.asarray(X)
        if X.ndim != 2 or len(X) != n:
            raise ValueError(f"the features of {title(kind)} have shape {X.shape}; the table has {n} clips")
        return X

    def pooled(self, X: NDArray[Any], kind: Kind, pooling: str) -> NDArray[Any]:
        """Return what another pooling than that of `stored` gives."""
        if self.pooling in (None, pooling):
            return X
        try:
            return derive(X, str(self.pooling), pooling, self.blocks(kind))
        except ValueError as error:
            raise ValueError(f"the features of {title(kind)}: {error}") from error


def source_of(features: Any, blocks: Blocks | None, pooling: str) -> FeatureSource:
    """Tell apart what `evaluate` takes as features."""
    if isinstance(features, Mapping):
        names = [name for name in features if isinstance(name, str)]
        if names and len(features) > 1:
            there = ", ".join(map(str, features))
            raise ValueError(f"features are {there}; evaluate one: features[{names[0]!r}]")
        load, name = _looked_up(features), names[0] if names else None
    elif callable(features):
        load, name = features, None
    else:
        load, name = lambda _: features, "features"
    if name is None:
        if blocks is not None:
            raise ValueError("blocks are of other features than LTOGP's, whose are in the settings")
        return FeatureSource(load, None, pooling)
    return FeatureSource(load, Features(load, name, blocks), pooling)


def extract_into(
    table: pd.DataFrame,
    store: str | os.PathLike[str] | None,
    folder: Path,
    parameters: Mapping[str, Any] | None,
    **chosen: Any,
) -> Extraction:
    """Extract into a store, or one in a folder, with its own parameters where none are given.

    Clips that could not be described are left out with a warning that names them.
    """
    if store is None:
        store = folder / "features.zarr"
    elif parameters is None and FeatureStore.exists(store):
        parameters = FeatureStore(store).parameters
    options = {name: value for name, value in (parameters or {}).items() if name != "pooling"}
    kept = extract(table, store, **chosen, **options)
    if kept.problems:
        count = f"{len(kept.problems)} clip{'s' * (len(kept.problems) > 1)} could not be described"
        warnings.warn(f"{count}: {'; '.join(map(str, kept.problems))}", UserWarning, stacklevel=3)
    return kept


def _looked_up(features: Mapping[Any, Any]) -> Callable[[Any], Any]:
    def load(kind: Kind) -> Any:
        if kind not in features:
            there = ", ".join(map(title, features)) or "nothing"
            raise ValueError(f"there are no features of {title(kind)}; there is {there}")
        return features[kind]

    return load
