"""What decides the result of an experiment beside the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._checks import is_positive, is_whole
from ..pipeline import check_classifier
from ..pooling import POOLINGS
from .scores import MOST_RESAMPLES, PROTOCOLS

__all__ = ["PAPER_N", "Settings"]

Blocks = tuple[int, int]

#: N that the paper reads off its Fig. 4.
PAPER_N = {"CASME": 325, "CASME II": 450}


@dataclass(frozen=True)
class Settings:
    """What decides the result beside the data.

    Attributes
    ----------
    protocol : str
        One of `microexpr.experiment.PROTOCOLS`.
    blocks : (int, int) or int
        Blocks down and across, of the tables; 8 means (8, 8).
    n_features : int
        N of the tables. None is the paper's: 325 on CASME, 450 on CASME II, and here 450 on others.
    gamma, C : float
        Of Eq. (4) and of the SVM.
    sweep : bool
        Whether to compute Fig. 4.
    nested : bool
        Whether to choose C and N inside the training folds too, beside those given.
    sweep_blocks, sweep_n_features : tuple of (int, int) or int, and tuple of int
        Of Fig. 4. The text says of the paper's range of N no more than that 325 and 450 are in it. What N is
        chosen from inside the training folds is `sweep_n_features` too.
    C_grid : tuple of float
        What C is chosen from inside the training folds.
    n_splits, inner_splits : int
        Folds of the protocol "kfold"; folds, by subject, of each training set.
    n_resamples, seed : int
        Of the bootstrap.
    poolings : tuple of {"rank", "mean", "mean+rank", "energy"}
        Recipes of `microexpr.describe` to evaluate beside the paper's, rank pooling, which is always there
        and comes first: each in rows of its own, of `blocks`, and compared with the paper's.
    classifier : {"svm", "lda"}
        As in `microexpr.make_classifier`, of all rows; the LDA has no C.
    class_weight : {None, "balanced"}
        As there.
    """

    protocol: str = "loso"
    blocks: Blocks = (8, 8)
    n_features: int | None = None
    gamma: float = 1.0
    C: float = 1.0
    sweep: bool = True
    nested: bool = True
    sweep_blocks: tuple[Blocks, ...] = ((4, 4), (6, 6), (8, 8), (10, 10), (12, 12))
    sweep_n_features: tuple[int, ...] = (75, 200, 325, 450, 575, 700, 825, 950)
    C_grid: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    n_splits: int = 10
    inner_splits: int = 5
    n_resamples: int = 10_000
    seed: int = 0
    poolings: tuple[str, ...] = ("rank",)
    classifier: str = "svm"
    class_weight: str | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # JSON has lists only
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        object.__setattr__(self, "blocks", _pair(self.blocks))
        if isinstance(self.sweep_blocks, tuple):
            object.__setattr__(self, "sweep_blocks", tuple(map(_pair, self.sweep_blocks)))
        if not isinstance(self.protocol, str) or self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
        for name in ("gamma", "C"):
            if not is_positive(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be positive and finite")
        for name, is_right, kind in (
            ("blocks", _are_blocks, "a whole number, or (down, across)"),
            ("n_features", lambda value: value is None or _is_count(value), "a whole number"),
            ("n_resamples", _is_count, "a whole number"),
        ):
            value = getattr(self, name)
            if not is_right(value):
                raise ValueError(f"{name} is {value!r}; it must be positive, and {kind}")
        if self.n_resamples > MOST_RESAMPLES:
            raise ValueError(f"n_resamples is {self.n_resamples}; {MOST_RESAMPLES} are the most")
        for name, is_right, kind in (
            ("sweep_blocks", _are_blocks, "whole numbers, or (down, across) each,"),
            ("sweep_n_features", _is_count, "whole numbers"),
            ("C_grid", is_positive, "numbers"),
        ):
            values = getattr(self, name)
            right = isinstance(values, tuple) and values and all(map(is_right, values))
            if not right or list(values) != sorted(set(values)):
                raise ValueError(f"{name} is {values!r}; it must be positive {kind} in rising order")
        for name, least in (("inner_splits", 2), ("n_splits", 2), ("seed", 0)):
            value = getattr(self, name)
            if not is_whole(value) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be at least {least}, and a whole number")
        if (
            not isinstance(self.poolings, tuple)
            or not all(isinstance(name, str) and name in POOLINGS for name in self.poolings)
            or len(set(self.poolings)) < len(self.poolings)
        ):
            raise ValueError(
                f"poolings is {self.poolings!r}; it must be of {', '.join(POOLINGS)}, each once at most"
            )
        others = [name for name in self.poolings if name != "rank"]
        object.__setattr__(self, "poolings", ("rank", *others))
        check_classifier(self.classifier, self.class_weight, self.C)
        for name in ("sweep", "nested"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be True or False")

    @property
    def is_papers(self) -> bool:
        """Whether the classifier is the paper's."""
        return self.classifier == "svm" and self.class_weight is None

    @property
    def grids(self) -> list[Blocks]:
        """Every (down, across) of blocks whose features are needed."""
        return sorted({self.blocks, *(self.sweep_blocks if self.sweep else ())})

    def with_n_features(self, datasets: Sequence[str]) -> Settings:
        """Fill in N where none is given: the paper's of the data set, 450 for others and for several."""
        paper = PAPER_N.get(datasets[0], 450) if len(datasets) == 1 else 450
        return dataclasses.replace(self, n_features=self.n_features or paper)

    def to_json(self) -> dict[str, Any]:
        """Return the fields in JSON's types, as ``Settings(**fields)`` takes them; 8 stands for (8, 8)."""
        fields = dataclasses.asdict(self)
        fields["blocks"] = blocks_to_json(self.blocks)
        fields["sweep_blocks"] = [blocks_to_json(blocks) for blocks in self.sweep_blocks]
        return fields


def title(features: Blocks | str) -> str:
    """Return what tables and messages call features: LTOGP's by their blocks, others by their name."""
    return features if isinstance(features, str) else f"{features[0]} x {features[1]} blocks"


def blocks_to_json(blocks: Blocks) -> int | list[int]:
    """Return a square grid as one number: 8 for (8, 8)."""
    down, across = blocks
    return down if down == across else [down, across]


def _pair(blocks: Any) -> Any:
    if isinstance(blocks, list):
        return tuple(blocks)
    return (blocks, blocks) if is_whole(blocks) else blocks


def _is_count(value: Any) -> bool:
    return is_whole(value) and value > 0


def _are_blocks(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_count, value))
