"""What is in a feature store, whole, stale or damaged: the report of ``microexpr check``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import spans
from ._claims import describe_claims
from ._clip_table import read_clips, read_identities
from ._opening import damaged_groups
from ._progress import progress_bar
from ._store_format import (
    CHUNK_ROWS,
    COLUMNS,
    TABLE_ROWS,
    TEXTS,
    DamagedStoreError,
    Kind,
    decode_texts,
    name_of,
    title_of,
)

if TYPE_CHECKING:
    from .store import FeatureStore

_MOST_NAMED = 10


@dataclass(frozen=True, eq=False, repr=False)
class StoreReport:
    """What `FeatureStore.check` found.

    Attributes
    ----------
    title : str
        The store's.
    parameters : dict
        What its features are computed with.
    versions : list of dict
        Versions of the software that wrote into it.
    clips : dict
        Data set -> number of its clips.
    features : dict
        Kind of features -> how many clips have them ("whole"), and how many not: "not extracted", "outdated",
        "damaged".
    problems : list of str
        What is damaged, array by array, and clips whose features are damaged or outdated.
    claims : list of str
        Which process works on what.
    n_unfinished : int
        Files that killed writers left; the next `extract` removes them.
    """

    title: str
    parameters: dict[str, Any]
    versions: list[dict[str, str]]
    clips: dict[str, int]
    features: dict[Kind, dict[str, int]]
    problems: list[str]
    claims: list[str] = field(default_factory=list)
    n_unfinished: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged or outdated."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        features = {name_of(kind): dict(counts) for kind, counts in self.features.items()}
        return {**self.__dict__, "features": features, "is_whole": self.is_whole}

    def __str__(self) -> str:
        def listed(counts: dict[str, int]) -> str:
            return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"

        total = sum(self.clips.values())
        lines = [f"{self.title}: {total} clip{'s' * (total != 1)} ({listed(self.clips)})"]
        lines += [f"  {title_of(kind)}: {listed(counts)}" for kind, counts in self.features.items()]
        chosen = ", ".join(f"{name}={value}" for name, value in self.parameters.items() if value is not None)
        lines += [f"  computed with {chosen}"]
        for entry in self.versions:
            lines.append("  written by " + ", ".join(f"{name} {value}" for name, value in entry.items()))
        lines += [f"  in use: {claim}" for claim in self.claims]
        if self.n_unfinished:
            lines.append(
                f"  {self.n_unfinished} files that were not put in place; the next extract removes them"
            )
        if self.problems:
            lines += ["Damaged or outdated; extract the data set into it again:"]
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"StoreReport({self.title}, {sum(self.clips.values())} clips, {len(self.problems)} problems)"


def check_store(store: FeatureStore, progress: bool | None) -> StoreReport:
    """Read all of a store and say what is there; see `FeatureStore.check`."""
    arrays, n = store.arrays, store.n_rows
    problems = [f"{name} is gone or damaged" for name in damaged_groups(store.objects)] if n else []
    for name in (*COLUMNS, "crc") if n else ():
        problems += [f"clips/{name}: {what}" for what in arrays.damage(f"clips/{name}", np.arange(n))]
    try:
        rows = np.flatnonzero(read_identities(arrays, n).any(axis=1))
    except DamagedStoreError:
        rows = np.arange(n)  # which of them are clips is not known
    clips: Counter[str] = Counter()
    for start in range(0, len(rows), TABLE_ROWS):
        part = rows[start : start + TABLE_ROWS]
        try:
            clips.update(decode_texts(read_clips(arrays, part)[1]["dataset"]))
        except DamagedStoreError as error:
            clips["unknown"] += len(part)
            if not problems:  # chunks that are whole, but of different moments
                problems.append(str(error).partition(": ")[2].partition(";")[0])

    features: dict[Kind, dict[str, int]] = {}
    described = np.zeros(n, dtype=bool)
    kinds: list[Kind] = [*store.blocks, *store.features]
    for kind in kinds:
        counts: Counter[str] = Counter()
        faulty: dict[str, list[int]] = {"damaged": [], "outdated": [], "not extracted": []}
        parts = list(spans(rows, CHUNK_ROWS, 1 << 17))
        try:
            for _, _, positions in progress_bar(
                parts, name_of(kind), len(parts), "part", progress, leave=False
            ):
                for row, fault in zip(rows[positions], store.faults(kind, rows[positions]), strict=True):
                    counts[fault or "whole"] += 1
                    described[row] |= fault != "not extracted"
                    if fault in faulty:
                        faulty[fault].append(int(row))
        except DamagedStoreError as error:
            problems.append(str(error).partition(": ")[2].partition(";")[0])
        order = ("whole", "not extracted", "outdated", "damaged")
        features[kind] = {name: counts[name] for name in order if counts[name]}
        if faulty["damaged"]:
            for name in (f"u/{name_of(kind)}", f"crc/{name_of(kind)}"):
                problems += [f"{name}: {what}" for what in arrays.damage(name, np.array(faulty["damaged"]))]
        problems += _lost_keys(store, kind, np.array(faulty.pop("not extracted"), dtype=np.intp))
        for fault, found in faulty.items():
            if found:
                more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
                named = ", ".join(_titles(store, np.array(found[:_MOST_NAMED])))
                problems.append(f"{title_of(kind)}: {len(found)} clips are {fault}: {named}{more}")
    if described.any():
        for name in ("content", "stat", "count", "mean", "crc"):
            problems += [
                f"frames/{name}: {what}"
                for what in arrays.damage(f"frames/{name}", np.flatnonzero(described))
            ]
    return StoreReport(
        title=store.objects.title,
        parameters=store.parameters,
        versions=store.versions,
        clips=dict(clips),
        features=features,
        problems=list(dict.fromkeys(problems)),
        claims=describe_claims(store.objects),
        n_unfinished=len(store.objects.unfinished()),
    )


def _lost_keys(store: FeatureStore, kind: Kind, rows: NDArray[np.intp]) -> list[str]:
    """Say which arrays or chunks of keys are lost or damaged, of these rows that seem not to be extracted."""
    names = [f"{part}/{name_of(kind)}" for part in ("u", "crc", "key")]
    found = [f"{name}: {what}" for name in names for what in store.arrays.damage(name, rows[:0])]
    if not found:
        described = rows[store.arrays.read("frames/crc", rows).any(axis=1)]
        never = store.arrays.damage(names[0], described)  # written; elsewhere there was a key
        found = [f"{names[2]}: {w}" for w in store.arrays.damage(names[2], described) if w not in never]
    return found


def _titles(store: FeatureStore, rows: NDArray[np.intp]) -> list[str]:
    """Name clips as they are coded, damaged or not."""
    texts = [decode_texts(store.arrays.read(f"clips/{name}", rows)) for name in TEXTS[:3]]
    return [
        "/".join(names).encode("ascii", "backslashreplace").decode() for names in zip(*texts, strict=True)
    ]
