"""The kinds of features that a feature store holds, three arrays each: `u`, `key` and `crc`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import Arrays
from ._store_format import Kind, StoreError, kind_of, name_of, title_of


class Kinds:
    """Kinds of features, by their blocks or names.

    `recipe` is the text that the key of every row begins with: algorithm and parameters.
    """

    def __init__(self, arrays: Arrays, recipe: str) -> None:
        self._arrays, self._start = arrays, hashlib.sha256(recipe.encode())

    def names(self) -> list[Kind]:
        """All that there are, whole or not."""
        return [kind_of(name) for name in self._arrays.names("u")]

    def has(self, kind: Kind) -> bool:
        """Whether all three arrays are there."""
        return all(self._arrays.get(f"{part}/{name_of(kind)}") is not None for part in ("u", "key", "crc"))

    def length(self, kind: Kind) -> int:
        """How many features a clip has."""
        return self._arrays.get(f"u/{name_of(kind)}").shape[1]

    def require(self, kind: Kind, n: int, length: int, parameters: Mapping[str, Any]) -> None:
        """Make the arrays of a kind of features unless they are there, and see that they have n rows."""
        self.check(kind, length, parameters)
        attributes = {"parameters": dict(parameters)} if parameters else {}
        self._arrays.require(f"u/{name_of(kind)}", n, length, attributes)
        self._arrays.require(f"crc/{name_of(kind)}", n)
        self._arrays.require(f"key/{name_of(kind)}", n)

    def check(self, kind: Kind, length: int, parameters: Mapping[str, Any]) -> None:
        """Raise if the store has this kind of features with other parameters, or of another length."""
        u, store = self._arrays.get(f"u/{name_of(kind)}"), self._arrays.objects.title
        if u is None:
            return
        noted = self._arrays.attributes(f"u/{name_of(kind)}").get("parameters", {})
        if dict(parameters) != noted:
            raise StoreError(
                f"{store} has {title_of(kind)} with {noted}, not {dict(parameters)}; give them "
                "another name or another store"
            )
        if u.shape[1] != length:
            raise StoreError(f"{store}: {title_of(kind)} have length {u.shape[1]} in it, and not {length}")

    def keys(self, kind: Kind, content: NDArray[np.uint8], identity: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Hash what each row is computed from, and of which clip it is."""
        parameters = self._arrays.attributes(f"u/{name_of(kind)}").get("parameters", {})
        start = self._start.copy()
        start.update(name_of(kind).encode())
        start.update(json.dumps(parameters, sort_keys=True).encode() if parameters else b"")
        keys = []
        for row, clip in zip(content, identity, strict=True):
            key = start.copy()
            key.update(row.tobytes() + clip.tobytes())
            keys.append(key.digest())
        return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)
