"""From the frames of a clip to one vector: rank pooling and what stands beside it, and one from another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import rankpool

from .features import finite

__all__ = ["POOLINGS", "derive", "length_of", "pool", "sufficient"]

PoolingName = Literal["rank", "mean", "mean+rank", "energy"]

#: The paper's first.
POOLINGS: tuple[PoolingName, ...] = ("rank", "mean", "mean+rank", "energy")

_LEAST_RATIO = 1e-3  # of block lengths in a clip; of simulated clips with noise of 1 grey level: 0.24
_LEAST_LENGTH = 2.0**-52  # where nothing moves


class Pooled(NamedTuple):
    """One vector of v_1 to v_T, and how rank pooling was solved: the gap is NaN where it has no part."""

    u: NDArray[np.float64]
    gap: float
    method: str


def pool(
    V: NDArray[Any],
    pooling: str,
    blocks: tuple[int, int] | None = None,
    *,
    C: float = 1.0,
    loss: Literal["hinge", "squared_hinge"] = "hinge",
    tol: float = 1e-6,
) -> Pooled:
    """Make one vector of the rows v_1 to v_T of V (T, d) by one of `POOLINGS`, as `describe` says.

    `blocks` are needed for "energy" only: the columns of V belong to so many down and across.
    """
    parts = []
    if "mean" in pooling:
        parts.append(finite(np.mean(V, axis=0, dtype=np.float64), "pooling mean", "(d,)", 1))
    if pooling == "mean":
        return Pooled(parts[0], np.nan, pooling)
    result = rankpool.rank_svm(V, C, loss=loss, tol=tol)
    whole = np.concatenate([*parts, result.u])
    u = derive(whole[None], "mean+rank" if parts else "rank", pooling, blocks)[0]
    return Pooled(u, result.gap, result.method)


def sufficient(poolings: Iterable[str]) -> PoolingName:
    """Return the pooling that all of these can be derived from: what to extract for them."""
    wanted = set(poolings)
    if len(wanted) == 1:
        (only,) = wanted
        return next(name for name in POOLINGS if name == only)
    return "rank" if wanted <= {"rank", "energy"} else "mean+rank"


def can_be_derived(of: str, to: str) -> bool:
    """Whether clips pooled the one way hold what the other gives."""
    return of == to or of == "mean+rank" or (of, to) == ("rank", "energy")


def length_of(pooling: str, blocks: tuple[int, int]) -> int:
    """How many features a clip has, of LTOGP in these blocks and pooled that way."""
    of_block = {"rank": 256, "mean": 256, "mean+rank": 512, "energy": 1}[pooling]
    return of_block * blocks[0] * blocks[1]


def derive(X: NDArray[Any], of: str, to: str, blocks: tuple[int, int] | None = None) -> NDArray[np.float64]:
    r"""Turn clips that were pooled one way into what another pooling gives, bit for bit.

    "mean+rank" holds everything; "energy" is of "rank" too:

    .. math:: e_b = \log \max(\|u_b\|, 10^{-3} \max\limits_{b'} \|u_{b'}\|)

    for each block b of rank pooling's u. Where u = 0, e_b is log 2^-52, which is -36.04.

    Parameters
    ----------
    X : ndarray of shape (n, m)
        One row a clip, as ``extract(..., pooling=of)`` gives them.
    of, to : {"rank", "mean", "mean+rank", "energy"}
        How they were pooled, and what is wanted.
    blocks : (int, int), optional
        That the columns of u belong to, down and across; needed for "energy".

    Returns
    -------
    ndarray of shape (n, m), (n, m // 2) or (n, blocks[0] * blocks[1]), float64
        In C order.

    Raises
    ------
    ValueError
        If it cannot be had of that pooling, m is not even, there are not as many columns for each of the
        blocks, or X holds NaN or infinity.
    TypeError
        If X is a masked array.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr.pooling import derive
    >>> X = np.array([[5.0, 6.0, 7.0, 8.0, 3.0, 4.0, 0.0, 0.0]])  # mean, then u
    >>> derive(X, "mean+rank", "rank")
    array([[3., 4., 0., 0.]])
    >>> derive(X, "mean+rank", "energy", (2, 1)).round(3)
    array([[ 1.609, -5.298]])
    """
    for name in (of, to):
        if name not in POOLINGS:
            raise ValueError(f"pooling is {name!r}; it must be one of {', '.join(POOLINGS)}")
    if not can_be_derived(of, to):
        raise ValueError(f"the pooling {to} cannot be had of {of}; it can be of mean+rank")
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array; its mask would be ignored")
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}; it must be a row a clip, (n, m)")
    if not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X).all(axis=1))[0])
        raise ValueError(f"X holds NaN or infinity in row {row}")
    if to == of:
        return X
    if of == "mean+rank":
        if X.shape[1] % 2:
            raise ValueError(f"X has {X.shape[1]} columns; mean+rank has an even number of them")
        half = X.shape[1] // 2
        X = X[:, :half] if to == "mean" else X[:, half:]
    X = np.ascontiguousarray(X)
    return _energy(X, blocks) if to == "energy" else X


def check_blocks(blocks: tuple[int, int] | None, features: str) -> None:
    """Raise unless it is known which block of the face each column is of."""
    if blocks is None:
        raise ValueError(
            f"the pooling energy needs to know the blocks of {features}: give "
            "microexpr.Features(function, blocks=(down, across))"
        )


def _energy(U: NDArray[np.float64], blocks: tuple[int, int] | None) -> NDArray[np.float64]:
    """Return the log length of u in each block; U is (n, d), a row a clip."""
    check_blocks(blocks, "the features")
    assert blocks is not None
    n, d = U.shape
    if d % (blocks[0] * blocks[1]):
        raise ValueError(
            f"u has {d} entries, not as many for each of {blocks[0]} x {blocks[1]} blocks, which energy needs"
        )
    parts = U.reshape(n, blocks[0] * blocks[1], -1)
    largest = np.abs(parts).max(axis=2)
    # Of the entries over their largest: squares of large ones would be infinite, of small ones 0.
    unit = np.where(largest > 0, largest, 1.0)
    lengths = np.sqrt(np.square(parts / unit[:, :, None]).sum(axis=2))
    with np.errstate(divide="ignore"):
        energy = np.log(largest) + np.log(np.where(largest > 0, lengths, 1.0))  # -inf where u_b = 0
    longest = energy.max(axis=1, keepdims=True)
    floor = np.where(np.isfinite(longest), longest + np.log(_LEAST_RATIO), np.log(_LEAST_LENGTH))
    return np.maximum(energy, floor)
