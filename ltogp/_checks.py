"""Checks of arguments: what is wrong, where, and what would be right."""

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ltogp import _threads

NORMS = {None: 0, "l1": 1, "l2": 2, "l1-sqrt": 3}  # and what the kernel calls them
HOW_TO_READ = "np.asarray(PIL.Image.open(path).convert('L'))"
EPS = {dtype(0).itemsize: float(np.finfo(dtype).eps) for dtype in (np.float16, np.float32, np.float64)}
# Kernels hold some rows with their borders: at this radius up to 2 GB.
_LARGEST_RADIUS = 4096
# Work below this many pixels stays on the calling thread.
_SMALL = 1 << 18
# The dtypes there are kernels for.
KERNEL_DTYPES = frozenset(map(np.dtype, (np.uint8, np.uint16, np.float32, np.float64)))
# Other integers become the first of these whose range holds them all. In the floats c - 2a + b is then exact.
_FOR_INTEGERS = (
    (np.uint8, 0, 2**8 - 1),
    (np.uint16, 0, 2**16 - 1),
    (np.float32, -(2**22), 2**22),
    (np.float64, -(2**51), 2**51),
)


def check_images(
    images: Any, name: str, channel_axis: Any, stacklevel: int = 4
) -> tuple[dict[str, NDArray[Any]], tuple[int, ...]]:
    """Return each channel as (T, H, W), of a dtype that has kernels, and the shape, (H, W) or (T, H, W).

    The channels are named as errors shall call them. `stacklevel` is that of the user's call, for a warning.
    """
    if type(images) is np.ndarray and images.dtype in KERNEL_DTYPES:
        stack = images
        shape, dtype = stack.shape, stack.dtype
    else:
        stack = check_array(images, name)
        shape, dtype = stack.shape, stack.dtype
        if dtype not in KERNEL_DTYPES:
            stack = to_kernel_dtype(stack, name)
    if channel_axis is None:
        if len(shape) == 2:
            channels = {name: stack[None]}
        elif len(shape) == 3:
            refuse_colour(shape, name)
            channels = {name: stack}
        else:
            raise ValueError(
                f"{name} has shape {shape}; must be (H, W) or (T, H, W), grey without a colour axis; for "
                "colours say which axis they are, as channel_axis=-1"
            )
    else:
        moved = np.moveaxis(stack, check_channel_axis(channel_axis, shape, name), 0)
        shape = moved.shape[1:]
        names = [name] if len(moved) == 1 else [f"channel {c} of {name}" for c in range(len(moved))]
        channels = dict(zip(names, moved if len(shape) == 3 else moved[:, None], strict=True))
    if not channels or 0 in shape[-2:]:
        raise ValueError(f"{name} has shape {stack.shape}: it holds no pixel")
    if dtype.kind == "f":
        warn_if_divided(next(iter(channels.values())), EPS[dtype.itemsize], name, stacklevel)
    return channels, shape


def refuse_colour(shape: tuple[int, ...], name: str) -> None:
    if len(shape) == 3 and shape[2] in (3, 4) and shape[0] > shape[2] < shape[1]:
        raise ValueError(
            f"{name} has shape {shape}, which looks like an image in colour: say so with channel_axis=-1, or "
            f"make it grey. {shape[0]} grey images of {shape[1]} x {shape[2]} are {name}[..., None] with "
            "channel_axis=-1"
        )


def check_array(images: Any, name: str) -> NDArray[Any]:
    """Return the images as an array, unless it would be one of something else than numbers."""
    if _is_masked(images):
        raise TypeError(
            f"{name} is a masked array; its mask would be ignored. Fill it, as with {name}.filled(0); a mask "
            "given to ltogp.histogram says which pixels count"
        )
    try:
        stack = np.asarray(images)
    except ValueError:  # a list whose items have several shapes
        shapes = sorted({np.shape(image) for image in images}) if isinstance(images, list | tuple) else []
        if len(shapes) < 2:
            raise
        raise ValueError(
            f"{name} holds images of several shapes, {shapes[0]} and {shapes[1]} among them; pass them one "
            "by one, or all to ltogp.LTOGP, which describes images of different sizes"
        ) from None
    kind = stack.dtype.kind
    if kind in "biuf" and stack.dtype.itemsize <= 8:
        return stack
    first = stack.flat[0] if kind in "OSU" and stack.size else None
    if isinstance(first, str | bytes | PathLike):
        raise TypeError(
            f"{name} is {str(first)!r}, which looks like the name of a file; read it first: {HOW_TO_READ}"
        )
    if isinstance(first, np.ndarray):
        raise TypeError(f"{name} has dtype object and holds arrays; join images of one shape with np.stack")
    advice = f"take np.abs({name}) or {name}.real" if kind == "c" else f"cast, as {name}.astype(np.float64)"
    raise TypeError(
        f"{name} has dtype {stack.dtype}; must be bool, an integer, float16, float32 or float64: {advice}"
    )


def check_channel_axis(channel_axis: Any, shape: tuple[int, ...], name: str) -> int:
    if not is_int(channel_axis):
        raise TypeError(f"channel_axis is {channel_axis!r}; must be None or an integer")
    if len(shape) not in (3, 4):
        raise ValueError(
            f"{name} has shape {shape}; with channel_axis={channel_axis} it must be (H, W) or (T, H, W) and "
            "one axis of channels"
        )
    if not -len(shape) <= channel_axis < len(shape):
        raise ValueError(f"channel_axis is {channel_axis}, but {name} has the {len(shape)} axes {shape}")
    return int(channel_axis)


def to_kernel_dtype(x: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the same numbers in a dtype that has kernels, if their second differences are exact there."""
    if x.dtype == bool:
        return x.view(np.uint8)
    if x.dtype.kind == "f":
        # c - 2a + b of float16 takes up to 43 bits.
        return x.astype(np.float64 if x.dtype.itemsize == 2 else x.dtype.newbyteorder("="))
    low, high = (int(x.min()), int(x.max())) if x.size else (0, 0)
    for dtype, lowest, highest in _FOR_INTEGERS:
        if lowest <= low and high <= highest:
            return x.astype(dtype)
    raise ValueError(
        f"{name} has dtype {x.dtype} and holds {high if high > 2**51 else low}; beyond 2**51 differences are "
        f"not exact. Subtract a constant, or cast with {name}.astype(np.float64) if rounding is right"
    )


def warn_if_divided(stack: NDArray[Any], eps: float, name: str, stacklevel: int) -> None:
    """Warn if float images, of a dtype of this precision, are integers divided by 255 or 65535.

    Of the integers many second differences are zero, which sets a bit; of the quotients they are zero but for
    rounding: 4 to 57 % of the codes are others. This looks at one pixel, and only where that is such a number
    at some more: it costs a continuous image 1 µs.
    """
    n_frames, height, width = stack.shape
    if n_frames == 0:
        return
    image = stack[n_frames // 2]
    if not any(_is_quotient(float(image[height // 2, width // 2]), n, eps) for n in (255, 65535)):
        return
    values = set(image[:: -(-height // 16), :: -(-width // 16)].ravel().tolist())
    for n in (255, 65535):
        # Of 16 values, because one is such a number by chance (of float16 one of three).
        if len(values) >= 16 and all(_is_quotient(value, n, eps) for value in values):
            warnings.warn(
                f"{name} looks like integers divided by {n}: rounding decides where second differences are "
                "zero, so that many codes differ from those of the integers. Pass the integers, or "
                f"np.round({name} * {n}).astype(np.uint{8 if n == 255 else 16})",
                stacklevel=stacklevel,
            )
            return


def _is_quotient(x: float, n: int, eps: float) -> bool:
    """Whether x is one of 0, 1/n, ..., 1 but for rounding."""
    scaled = x * n
    # Dividing is off by at most eps / 2, multiplying by the reciprocal by at most eps.
    return 0 <= x <= 1 and eps * n < 0.25 and abs(scaled - round(scaled)) <= 1.5 * eps * scaled


def check_finite(results: list[int], stack: NDArray[Any], limit: Any, name: str) -> None:
    """Raise if a kernel met a NaN or a number beyond the limit: each returns the frame where, or -1."""
    if results == [-1]:
        return
    bad = [t for t in results if t >= 0]
    if not bad:
        return
    t = min(bad)
    y, x = np.argwhere(~(np.abs(stack[t]) <= limit))[0]
    refuse_number(stack[t, y, x], limit, name, t, y, x)


def refuse_number(value: Any, limit: Any, name: str, t: int, y: int, x: int) -> NoReturn:
    wanted = "finite" if not np.isfinite(value) else f"within +-{limit:.3g}, or second differences overflow"
    raise ValueError(f"{name} holds {value} at frame {t}, row {y}, column {x}; must be {wanted}")


def check_blocks(blocks: Any, height: int, width: int) -> tuple[int, int]:
    try:
        by, bx = blocks
    except (TypeError, ValueError):
        raise TypeError(f"blocks is {blocks!r}; must be two integers (rows, columns of blocks)") from None
    if not (is_int(by) and is_int(bx)):
        raise TypeError(f"blocks is {blocks!r}; must be two integers (rows, columns of blocks)")
    if by < 1 or bx < 1:
        raise ValueError(f"blocks is {blocks!r}; must be at least (1, 1)")
    if by > height or bx > width:
        raise ValueError(f"blocks is {blocks!r}, more than an image of {height} x {width} pixels can fill")
    return int(by), int(bx)


def check_overlap(overlap: Any) -> float:
    if type(overlap) is not float and (not isinstance(overlap, Real) or isinstance(overlap, bool)):
        raise TypeError(f"overlap is {overlap!r}; must be a number")
    if not 0 <= float(overlap) < 1:
        raise ValueError(f"overlap is {overlap}; must be at least 0 and less than 1")
    return float(overlap)


def check_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    refuse_masked(mask, "mask")
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask has dtype {mask.dtype}; must be bool")
    if mask.shape not in (shape, shape[-2:]):
        either = f"{shape[-2:]} or {shape}" if len(shape) == 3 else f"{shape}"
        raise ValueError(f"mask has shape {mask.shape}; must be {either}, as the images")
    return mask.view(np.uint8)


def check_normalize(normalize: Any) -> int:
    if normalize is not None and not isinstance(normalize, str):
        raise TypeError(f"normalize is {normalize!r}; must be None, l1, l2 or l1-sqrt")
    if normalize not in NORMS:
        raise ValueError(f"normalize is {normalize!r}; must be None, l1, l2 or l1-sqrt")
    return NORMS[normalize]


def check_radii(radius: Any) -> list[int]:
    if type(radius) is int or not isinstance(radius, tuple | list):
        return [check_radius(radius, "an integer or a tuple of integers")]
    if not all(map(is_int, radius)):
        raise TypeError(f"radius is {radius!r}; must be an integer or a tuple of integers")
    if not radius or min(radius) < 1 or max(radius) > _LARGEST_RADIUS:
        raise ValueError(
            f"radius is {radius!r}; must hold at least one integer, and each must be at least 1 and at most "
            f"{_LARGEST_RADIUS}"
        )
    return [int(r) for r in radius]


def check_radius(radius: Any, wanted: str = "an integer") -> int:
    if not is_int(radius):
        raise TypeError(f"radius is {radius!r}; must be {wanted}")
    if not 1 <= radius <= _LARGEST_RADIUS:
        raise ValueError(f"radius is {radius}; must be at least 1 and at most {_LARGEST_RADIUS}")
    return int(radius)


TEMPLATES = ("ltogp", "lbp", "central")
# East, then counter-clockwise; rows downwards.
_DIRECTIONS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def check_templates(templates: Any, radius: int) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Return direction, row and column of the non-zero weights; the weights; how far they reach.

    None of the former for the default templates, which have a kernel of their own.
    """
    if templates is None or (isinstance(templates, str) and templates == "ltogp"):
        return np.empty((0, 3), np.intp), np.empty(0), 2 * radius
    if isinstance(templates, str):
        return _named_templates(templates, radius)
    weights = _check_weights(templates, radius)
    kept = weights != 0
    kept[0, 0, 0] |= not kept.any()  # no weights at all would mean the default templates
    return np.ascontiguousarray(np.argwhere(kept), np.intp), weights[kept], weights.shape[1] // 2


def _named_templates(name: str, r: int) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    if name not in TEMPLATES:
        raise ValueError(
            f"templates is {name!r}; must be one of {', '.join(TEMPLATES)} or an array (8, k, k)"
        )
    taps = []
    for k, (dy, dx) in enumerate(_DIRECTIONS):
        taps += [(k, r, r, -1 if name == "lbp" else -2), (k, r + dy * r, r + dx * r, 1)]
        if name == "central":
            taps.append((k, r - dy * r, r - dx * r, 1))
    ordered = np.array(sorted(taps), np.intp)
    return np.ascontiguousarray(ordered[:, :3]), ordered[:, 3].astype(np.float64), r


def _check_weights(templates: Any, radius: int) -> NDArray[np.float64]:
    if radius != 1:
        raise ValueError(f"radius is {radius}, but belongs to templates with a name; leave it 1 with others")
    refuse_masked(templates, "templates")
    weights = np.asarray(templates)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"templates has dtype {weights.dtype}; must be real numbers")
    k = weights.shape[-1] if weights.ndim else 0
    if weights.shape != (8, k, k) or k % 2 == 0:
        raise ValueError(f"templates has shape {weights.shape}; must be (8, k, k) with k odd")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all():
        raise ValueError(f"templates[{np.argwhere(~np.isfinite(weights))[0][0]}] holds NaN or infinity")
    if np.abs(weights).max() > 1e250:
        raise ValueError("templates holds weights beyond 1e250; divide them, only signs matter")
    return weights


def largest(dtype: np.dtype, taps: NDArray[np.intp], weights: NDArray[np.float64]) -> Any:
    """Return the largest pixel, of this dtype, whose weighted sums cannot overflow."""
    if dtype.kind != "f":
        return dtype.type(np.iinfo(dtype).max)  # whatever the weights: they are below 1e250
    limit = float(np.finfo(dtype).max) / 4  # of c - 2a + b
    if len(
        weights
    ):  # in float64; of these sums the intermediate ones are no larger than that of all |weights|
        total = float(np.bincount(taps[:, 0], np.abs(weights), 8).max())
        limit = min(float(np.finfo(dtype).max), float(np.finfo(np.float64).max) / max(4.0, 2 * total))
    return dtype.type(limit)


def check_n_jobs(n_jobs: Any, n_pixels: int) -> int:
    """Return how many threads to use for this many pixels."""
    if n_jobs is None:
        n_jobs = -1
    elif not is_int(n_jobs):
        raise TypeError(f"n_jobs is {n_jobs!r}; must be None or an integer")
    if n_jobs == 0:
        raise ValueError("n_jobs is 0; must be None, -1 or at least 1, or -2 for all CPUs but one, and so on")
    if n_jobs == 1 or n_pixels < _SMALL:
        return 1
    limit = _threads.thread_limit()
    return max(1, limit + 1 + int(n_jobs)) if n_jobs < 0 else min(int(n_jobs), limit)


def check_out(out: Any, shape: tuple[int, ...], images: Iterable[NDArray[Any]], mask: Any) -> None:
    refuse_masked(out, "out")
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or not out.dtype.isnative:
        raise TypeError(f"out is {getattr(out, 'dtype', type(out).__name__)}; must be an array of float32")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}; must be {shape}")
    if not out.flags.behaved:
        raise ValueError("out is read-only or not aligned")
    if out.strides[-1] != out.itemsize:
        raise ValueError("out has gaps along its last axis; it must be contiguous there")
    if out.ndim == 2 and len(out) > 1 and abs(out.strides[0]) < out.shape[1] * out.itemsize:
        raise ValueError("out has rows that share memory")
    for other, name in [(mask, "mask"), *((channel, "images") for channel in images)]:
        if share_memory(out, other):
            raise ValueError(f"out shares memory with {name}")


def share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays do, as far as NumPy can say soon."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return False
    return np.may_share_memory(a, b, 10_000)  # type: ignore[arg-type]  # the stubs know none and all only


def refuse_masked(array: Any, name: str) -> None:
    if _is_masked(array):
        raise TypeError(f"{name} is a masked array; its mask would be ignored")


def _is_masked(array: Any) -> bool:
    """Whether it is a masked array, or a list with one in it, or a Dask array of such chunks."""
    if isinstance(array, list | tuple):
        return any(map(_is_masked, array))
    return isinstance(getattr(array, "_meta", array), np.ma.MaskedArray)


def is_int(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))
