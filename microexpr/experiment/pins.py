"""What an evaluation is pinned to, so that it can be repeated: versions, and hashes of the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "differences", "hash_array", "hash_clips", "versions"]

#: Of evaluation.json.
FORMAT = 1

_PACKAGES = (
    "microexpr",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "joblib",
    "pandas",
    "pillow",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """Return the versions of everything that may move the last bits."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # The last bits depend on the BLAS, NumPy's and SciPy's, and on which processor its kernels are for. Other
    # packages may have loaded one of their own; in a wheel, NumPy's and SciPy's lie beside them.
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in blas if {"numpy.libs", "scipy.libs"} & {*Path(library["filepath"]).parts}]
    found["blas"] = ", ".join(
        sorted(
            f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
            for library in own or blas
        )
    )
    return found


def hash_array(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and values."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)  # as they lie there: a copy took as long as its hash
    return digest.hexdigest()


def hash_clips(table: pd.DataFrame) -> str:
    """SHA-256 of which clips these are, of which class, in this order."""
    rows = table[["dataset", "subject", "clip", "emotion"]].astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def differences(pinned: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """Say what is not the same in two evaluations, versions first; empty if everything is."""
    found = [
        f"{name} was {pinned['versions'].get(name)}, is {again['versions'].get(name)}"
        for name in sorted({*pinned["versions"], *again["versions"]})
        if pinned["versions"].get(name) != again["versions"].get(name)
    ]
    for kind, value in pinned["data"]["features"].items():
        if again["data"]["features"].get(kind) != value:
            found.append(f"the features of {kind}{' blocks' * (' x ' in kind)} are not the same")
    for pooling, value in pinned["data"].get("poolings", {}).items():
        if again["data"].get("poolings", {}).get(pooling) != value:
            found.append(f"the features of {pooling} pooling are not the same")
    for name, value in pinned["results"].items():
        if again["results"].get(name) != value:
            found.append(f"the {name} are not the same")
    return found
