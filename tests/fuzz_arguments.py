"""Random arguments for `fuzz.py`: numbers, arrays of all values, types and layouts, labels, options."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy import sparse

POWERS = (-300, -200, -160, -100, -30, -8, -3, 0, 0, 0, 0, 0, 2, 5, 10, 30, 77, 100, 150, 160, 200, 300, 307)
REALS = (bool, np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64, np.float16)
FLOATS = (np.float32, np.float64, np.longdouble)
ODD = (complex, object, "U3", "datetime64[s]", "S2")


def number(rng):
    """A parameter like C or gamma."""
    if rng.random() < 0.05:
        return rng.choice([0.0, -1.0, np.nan, np.inf, 5e-324, 1.7e308])
    return float(rng.choice([1.0, rng.uniform(0.1, 100), 10.0 ** int(rng.choice(POWERS))]))


def array(rng, shape):
    """An array of this shape, its values, type and layout at random."""
    kind = rng.choice(["normal", "walk", "counts", "same", "zeros", "few", "mixed"])
    a = rng.standard_normal(shape)
    if kind == "walk":
        a = a.cumsum(axis=0)
    elif kind == "counts":
        a = rng.integers(0, 256, shape).astype(float)
    elif kind == "same":
        a[:] = a[:1]
    elif kind == "zeros":
        a[:] = 0
    elif kind == "few":
        a = np.round(a)
    elif kind == "mixed":
        a = a * 10.0 ** rng.integers(-12, 12, shape)
    draw = rng.random()
    if draw < 0.5:
        dtype = rng.choice(np.array(FLOATS, dtype=object))
        with np.errstate(over="ignore"):
            a = (a * 10.0 ** int(rng.choice(POWERS))).astype(dtype)
    elif draw < 0.95:
        dtype = rng.choice(np.array(REALS, dtype=object))
        with np.errstate(over="ignore", invalid="ignore"):
            a = a.astype(dtype)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a = np.round(a).clip(-99, 99).astype(rng.choice(np.array(ODD, dtype=object)))
    if a.dtype.kind == "f" and a.size and rng.random() < 0.05:
        a.flat[rng.integers(a.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return layout(rng, a)


def layout(rng, a):
    """The same values, stored otherwise."""
    storage = rng.choice(
        ["c", "c", "c", "f", "strided", "reversed", "readonly", "unaligned", "swapped", "masked", "list"]
    )
    if storage == "f":
        return np.asfortranarray(a)
    if storage == "strided":
        return np.repeat(a, 2, axis=-1)[..., ::2]
    if storage == "reversed":
        return a[..., ::-1].copy()[..., ::-1]
    if storage == "readonly":
        a.flags.writeable = False
    if storage == "unaligned" and not a.dtype.hasobject:
        raw = np.empty(a.nbytes + 1, np.uint8)[1:]
        b = np.ndarray(a.shape, a.dtype, raw)
        b[...] = a
        return b
    if storage == "swapped" and not a.dtype.hasobject:
        return a.astype(a.dtype.newbyteorder())
    if storage == "masked" and rng.random() < 0.3:
        return np.ma.array(a, mask=rng.random(a.shape) < 0.2)
    if storage == "list" and a.size < 1000:
        return a.tolist()
    return a


def matrix(rng, n, d):
    """Samples or frames by features, sparse or a table now and then."""
    a = array(rng, (n, d))
    draw = rng.random()
    if draw < 0.15 and isinstance(a, np.ndarray) and a.dtype.kind in "biuf" and a.dtype.itemsize <= 8:
        a = np.asarray(a).astype(a.dtype.newbyteorder("="))
        if a.dtype != np.float16:
            return sparse.csr_matrix(a).asformat(str(rng.choice(["csr", "csc", "coo"])))
    if draw > 0.97 and isinstance(a, np.ndarray) and a.dtype.itemsize <= 8:
        return pd.DataFrame(np.asarray(a))
    return a


def labels(rng, n, classes=3):
    y = rng.integers(0, classes, n)
    return [y, y.astype(float), y.astype(str), y > 0, y.astype(object), pd.Series(y, dtype="Int64")][
        rng.integers(6)
    ]


def sometimes(rng, probability, value):
    return value if rng.random() < probability else None


def options(rng, **choices):
    """Some of the options, each with one of its values, or now and then with one that is none."""
    picked = {}
    for name, (good, bad) in choices.items():
        if rng.random() < 0.3:
            values = bad if rng.random() < 0.1 else good
            picked[name] = values[rng.integers(len(values))]
    return picked
