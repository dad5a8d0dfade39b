"""An evaluation done again as its evaluation.json says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sklearn.base import BaseEstimator

from ..features import Features, FrameFunction, as_features, as_json, name_and_parameters
from ..pipeline import Pooling
from .pins import differences
from .pins_file import read_pins
from .results import Evaluation
from .run import Source, extract_and_evaluate, read

__all__ = ["repeat"]


def repeat(
    file: str | os.PathLike[str],
    *,
    sources: Sequence[Source] | None = None,
    store: str | os.PathLike[str] | None = None,
    features: FrameFunction | Features | None = None,
    pooling: Literal["rank"] | Pooling = "rank",
    classifier: BaseEstimator | None = None,
    n_jobs: int | None = -1,
    progress: bool | None = None,
) -> tuple[Evaluation, list[str]]:
    """Evaluate again as an evaluation.json says, and compare.

    Parameters
    ----------
    file : path
        The evaluation.json that `save_evaluation` wrote.
    sources : sequence of (name, root) or (name, root, options), optional
        Where the data sets are now; by default where they were. Options of reading that were given then are
        given again, but for those that are other ones here.
    store, n_jobs, progress
        As in `extract_and_evaluate`.
    features, pooling, classifier
        Those of the evaluation, where they are not the paper's: the file names them but cannot hold them.

    Returns
    -------
    evaluation : Evaluation
    differences : list of str
        What is not the same, bit for bit; empty if everything is. Versions that differ come first.

    Raises
    ------
    ValueError
        If the file is not such a file, or it was written with other features, another pooling or classifier,
        or for other clips.
    """
    content, settings = read_pins(Path(file))
    pinned = content["data"]
    _check_functions(file, content, features, pooling, classifier)
    sources = _sources_again(pinned["sources"], sources)
    if not sources:
        raise ValueError(f"{file} does not say where the data sets are; give them")
    table = read(sources, pinned["classes"] or "all")
    evaluation = extract_and_evaluate(
        table,
        settings,
        store=store,
        parameters=pinned["parameters"],
        features=features,
        pooling=pooling,
        classifier=classifier,
        n_jobs=n_jobs,
        progress=progress,
        digest=pinned["digest"],
    )
    again = json.loads(json.dumps({**evaluation.pins, "results": evaluation.results()}))
    return evaluation, differences(content, again)


def _sources_again(pinned: Sequence[Sequence[Any]], given: Sequence[Source] | None) -> list[Source]:
    """Return the sources of a file, or those given with the options of the file's."""
    again: list[Source] = []
    for k, (name, root, *options) in enumerate(given or pinned):
        chosen = dict(options[0]) if options else {}
        then: list[Any] = list(pinned[k]) if k < len(pinned) else ["", ""]
        if name.lower().partition("-")[0] == then[0].partition("-")[0]:
            chosen = {**(then[2] if len(then) > 2 else {}), **chosen}
            if name.lower() == "smic" and "camera" not in chosen:
                name = then[0]  # which says the camera
        again.append((name, root, chosen))
    return again


def _check_functions(
    file: Any, content: Mapping[str, Any], features: Any, pooling: Any, classifier: Any
) -> None:
    """Raise unless these are the functions that the file names."""
    names = [kind for kind in content["data"]["features"] if " x " not in kind]
    pinned = {
        "features": names[0] if names else None,
        "pooling": content["data"]["parameters"].get("pooling", "rank"),
        "classifier": content.get("classifier"),
    }
    given = {
        "features": None if features is None else as_features(features).name,
        "pooling": pooling if isinstance(pooling, str) else as_json(name_and_parameters(pooling)),
        "classifier": None if classifier is None else repr(classifier),
    }
    for key, value in pinned.items():
        if given[key] != value:
            raise ValueError(f"{file} was written with {key}={value!r}, not {given[key]!r}; give that one")
