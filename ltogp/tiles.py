"""Codes and maps of local histograms, of images larger than memory too: what is computed of each tile."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp._checks import check_n_jobs, check_normalize, check_radii, check_radius, is_int
from ltogp._regions import Encoding, Windows
from ltogp._tiling import (
    Place,
    Source,
    Tile,
    check_writable,
    cut,
    is_dask,
    open_image,
    open_mask,
    read,
    run,
    strip,
    warn_if_quotients,
    writer,
)


def encode_tiles(
    image: Any,
    out: Any = None,
    *,
    radius: int = 1,
    mode: str = "nearest",
    templates: str | ArrayLike | None = "ltogp",
    mapping: str = "default",
    channel_axis: int | None = None,
    tile: int | tuple[int, int] | None = None,
    n_jobs: int | None = None,
) -> Any:
    """Compute the LTOGP code of every pixel of an image that need not fit into memory, tile by tile.

    The codes are those of :func:`ltogp.encode`, bit for bit, at the borders of tiles too: of each tile the
    pixels around it are read with it, as far as the templates reach.

    Parameters
    ----------
    image : array of shape (H, W) or (T, H, W)
        Or anything else with a shape, a dtype and slices: a memory map, a zarr array, a dataset of h5py, a
        Dask array. It is read a tile at a time, from several threads unless ``n_jobs=1``. dtypes as for
        :func:`ltogp.encode`; in colour, see `channel_axis`.
    out : array of uint8, of the shape of `image`, optional
        Where to write the codes: an array, a memory map, or anything else with slices. Of one that is stored
        in chunks, whole chunks are written. None: a new array in memory.
    radius, mode, templates, mapping, channel_axis
        As for :func:`ltogp.encode`.
    tile : int or (int, int), optional
        Rows and columns of pixels to compute at a time, in each thread, rounded up to whole chunks of `out`.
        The codes do not depend on it. None: by the size of a pixel, up to 512 x 4096 pixels and 8 MB, and
        4096 x 4096 and 32 MB of an image in chunks, because a chunk that several tiles need is decoded for
        each. Chunks of a Dask array are its tiles; a `tile` is what it is rechunked to.
    n_jobs : int, optional
        As for :func:`ltogp.encode`; Dask has threads of its own.

    Returns
    -------
    codes : array of uint8, same shape as `image`
        `out` itself if that is given. Of a Dask array without `out`, a Dask array: nothing is computed until
        its ``compute``, or whatever stores it.

    Raises
    ------
    TypeError, ValueError
        As :func:`ltogp.encode`, with the place in the whole image. `out` may then be half written. Also if
        `out` is no array of uint8 of that shape, is read-only, or shares memory with `image`.

    Warns
    -----
    UserWarning
        As :func:`ltogp.encode`, after a look at the middle of the image, unless it is a Dask array.

    See Also
    --------
    histogram_map : Local histograms of the codes.

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> slide = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    >>> codes = np.empty((300, 400), np.uint8)  # or np.memmap, or zarr.create_array
    >>> ltogp.encode_tiles(slide, codes, tile=128) is codes
    True
    >>> bool((codes == ltogp.encode(slide)).all())
    True
    >>> import dask.array as da
    >>> lazy = ltogp.encode_tiles(da.from_array(slide, chunks=100))
    >>> lazy.chunks, bool((lazy.compute() == codes).all())
    (((100, 100, 100), (100, 100, 100, 100)), True)
    """
    source = open_image(image, "image", channel_axis)
    encoding = Encoding.checked([check_radius(radius)], mode, templates, mapping)
    steps = None if tile is None else _check_pair(tile, "tile")
    shape = tuple(map(int, source.array.shape))
    if out is not None:
        check_writable(out, shape, [source])
        if np.dtype(out.dtype) != np.uint8:
            raise TypeError(f"out has dtype {out.dtype}; must be uint8")
    threads = check_n_jobs(n_jobs, prod(shape))
    if is_dask(image):
        from ltogp import _lazy

        return _lazy.stored(_lazy.encode(source, encoding, steps), out)
    warn_if_quotients(source, stacklevel=3)
    if out is None:
        out = np.empty(shape, np.uint8)
    write = writer(out)

    def compute(tile: Tile) -> None:
        t0, t1, y0, y1, x0, x1 = tile
        region, place = _read_region(source, t0, t1, y0, y1, x0, x1, encoding)
        codes = encoding.all_codes(region, place)
        write(source.key(*(slice(*tile[k : k + 2]) for k in (0, 2, 4))), source.restored(codes))

    tiles = cut(source, source.shape[1:], source.shape[0], (1, 1), steps, out, source.axes[1:])
    run(compute, tiles, threads, [source.array, out])
    return out


def histogram_map(
    image: Any,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
    *,
    radius: int | Sequence[int] = 1,
    mode: str = "nearest",
    templates: str | ArrayLike | None = "ltogp",
    mapping: str = "default",
    mask: Any = None,
    normalize: str | None = None,
    channel_axis: int | None = None,
    out: Any = None,
    tile: int | tuple[int, int] | None = None,
    n_jobs: int | None = None,
) -> Any:
    """Count the LTOGP codes in a window around every pixel, or every few pixels.

    With a stride s the image is divided into cells of s x s pixels from its upper left corner, the last ones
    cut off by its edges, and element (i, j) of the map is the histogram of a window of w x w pixels about the
    middle of cell (i, j): rows ``i*s + (s - w)//2`` to ``i*s + (s - w)//2 + w``, without what lies outside
    the image. So the map lies on the image as its reduction by s does, and labels of its elements, each
    repeated s x s times and cut to the size of the image, are labels of pixels. With a stride of 1 and an odd
    window, element (i, j) is the window about pixel (i, j), as of scikit-image's
    ``filters.rank.windowed_histogram``.

    Parameters
    ----------
    image : array of shape (H, W) or (T, H, W)
        Or anything else with a shape, a dtype and slices, larger than memory or not, as for
        :func:`encode_tiles`.
    window : int or (int, int)
        Height and width of the windows, in pixels.
    stride : int or (int, int)
        Rows and columns of pixels from one window to the next.
    radius : int or tuple of int, default=1
        As for :func:`ltogp.encode`. The histograms of several radii follow each other, in the order given.
    mode, templates, mapping, channel_axis
        As for :func:`ltogp.encode`. Borders matter to the codes only: a window holds no pixel outside the
        image.
    mask : array of bool, of shape (H, W) or (T, H, W), optional
        Count only pixels where it is True; also anything else with slices. Codes are those of the whole
        image. Tiles without any pixel of the mask are not read, nor refused for what they hold. The sum of a
        window without `normalize` is the number of its pixels under the mask.
    normalize : {"l1", "l2", "l1-sqrt"}, optional
        As for :func:`ltogp.histogram`, window by window. One without any pixel stays zero.
    out : array of the shape of the result, optional
        Where to write it, as for :func:`encode_tiles`. Of floats, or, without `normalize`, of integers, if
        they hold the number of pixels of a window: uint8 up to 15 x 15, uint16 up to 255 x 255.
    tile : int or (int, int), optional
        Rows and columns of pixels of the image whose windows are computed at a time, as for
        :func:`encode_tiles`; None: so many that their histograms take no more than 8 MB, or 32 of an image in
        chunks.
    n_jobs : int, optional
        As for :func:`ltogp.encode`.

    Returns
    -------
    histograms : array of float32, of shape (H', W', n) or (T, H', W', n)
        With ``H' = ceil(H / s)``, ``W' = ceil(W / s)`` and ``n = n_channels*n_radii*n_bins``, in the order
        channel, radius, bin. Counts, unless normalized, exact up to 2**24. `out` itself if that is given. Of
        a Dask array without `out`, a Dask array.

    Raises
    ------
    TypeError, ValueError
        As :func:`encode_tiles` and :func:`ltogp.histogram`.

    Warns
    -----
    UserWarning
        As :func:`encode_tiles`.

    See Also
    --------
    ltogp.histogram : Histograms of blocks that divide the image.

    Notes
    -----
    Each pixel is counted when it enters a window and when it leaves, whatever the size of the window, as in
    [1]_; rows of windows share what they count of each column of cells, as in [2]_.

    References
    ----------
    .. [1] Huang, Yang, Tang, "A fast two-dimensional median filtering algorithm", IEEE TASSP 27(1), 1979.
    .. [2] Perreault, Hébert, "Median filtering in constant time", IEEE TIP 16(9), 2007.

    Examples
    --------
    >>> import numpy as np
    >>> import ltogp
    >>> slide = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    >>> X = ltogp.histogram_map(slide, window=64, stride=16, mapping="uniform")
    >>> X.shape
    (19, 25, 10)
    >>> X.sum(axis=2)[:3, :3]  # pixels in each window
    array([[1600., 2240., 2560.],
           [2240., 3136., 3584.],
           [2560., 3584., 4096.]], dtype=float32)
    >>> X = ltogp.histogram_map(slide, 64, 16, mask=slide > 9, normalize="l1", mapping="uniform")
    >>> bool(np.allclose(X.sum(axis=2), 1))
    True
    >>> labels = X.argmax(axis=2)  # stands for a classifier
    >>> np.kron(labels, np.ones((16, 16), int))[:300, :400].shape
    (300, 400)
    """
    source = open_image(image, "image", channel_axis)
    seen = open_mask(mask, source)
    encoding = Encoding.checked(check_radii(radius), mode, templates, mapping)
    sizes, strides = _check_pair(window, "window"), _check_pair(stride, "stride")
    windows = Windows.of(source.shape[2:], sizes, strides)
    norm = check_normalize(normalize)
    steps = None if tile is None else _check_pair(tile, "tile")
    n = source.shape[0] * len(encoding.radii) * encoding.n_bins
    stacked = source.axes[1] >= 0
    shape = (*source.shape[1 : 1 + stacked], len(windows.rows), len(windows.columns), n)
    _check_window(sizes, source.shape[2:], out, norm)
    if out is not None:
        check_writable(out, shape, [source, seen])
    threads = check_n_jobs(n_jobs, prod(source.shape))
    if is_dask(image):
        from ltogp import _lazy

        lazy = _lazy.histogram_map(source, seen, encoding, windows, strides, norm, steps)
        return _lazy.stored(lazy, out)
    warn_if_quotients(source, stacklevel=3)
    if out is None:
        out = np.empty(shape, np.float32)
    in_place = isinstance(out, np.ndarray) and out.dtype == np.float32 and out.dtype.isnative
    write = writer(out)

    def compute(tile: Tile) -> None:
        t0, t1, i0, i1, j0, j1 = tile
        y0, y1, x0, x1 = windows.pixels(i0, i1, j0, j1)
        visible = None
        if seen is not None:
            frames = (t0, t1) if seen.axes[1] >= 0 else (0, 1)
            inside = (strip(seen.shape[k], *pixels, 0, mode) for k, pixels in ((2, (y0, y1)), (3, (x0, x1))))
            visible = read(seen, *frames, *inside)[0]
        key = (slice(t0, t1), slice(i0, i1), slice(j0, j1))[not stacked :]
        size = (t1 - t0, i1 - i0, j1 - j0, n)
        histograms = out[key].reshape(size) if in_place else np.empty(size, np.float32)
        if y0 == y1 or x0 == x1 or (visible is not None and not visible.any()):
            histograms[...] = 0
        else:
            region, place = _read_region(source, t0, t1, y0, y1, x0, x1, encoding)
            windows.write_histograms(histograms, region, visible, encoding, norm, place, i0, i1, j0, j1)
        if not in_place:
            write(key, histograms.reshape(size[not stacked :]))

    wanted = (source.shape[1], len(windows.rows), len(windows.columns))
    tiles = cut(source, wanted, 4 * n, strides, steps, out, (0, 1, 2) if stacked else (-1, 0, 1))
    run(compute, tiles, threads, [source.array, mask, out])
    return out


def _read_region(
    source: Source, t0: int, t1: int, y0: int, y1: int, x0: int, x1: int, encoding: Encoding
) -> tuple[NDArray[Any], Place]:
    rows = strip(source.shape[2], y0, y1, encoding.reach, encoding.mode)
    columns = strip(source.shape[3], x0, x1, encoding.reach, encoding.mode)
    return read(source, t0, t1, rows, columns), Place(source.names, t0, rows.sources, columns.sources)


def _check_pair(value: Any, name: str) -> tuple[int, int]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(map(is_int, pair)):
        raise TypeError(f"{name} is {value!r}; must be an integer or two (rows, columns)")
    if min(pair) < 1:
        raise ValueError(f"{name} is {value!r}; must be at least 1")
    return int(pair[0]), int(pair[1])


def _check_window(sizes: tuple[int, int], shape: tuple[int, int], out: Any, norm: int) -> None:
    """Check that the counts of a window are exact, and that `out` holds them."""
    most = prod(map(min, sizes, shape))
    if most >= 2**31:
        raise ValueError(f"window is {sizes}; a window must hold less than 2**31 pixels of the image")
    if out is None or not hasattr(out, "dtype"):
        return
    dtype = np.dtype(out.dtype)
    if dtype.kind not in ("f" if norm else "fiu"):
        wanted = "floats, because they are normalized" if norm else "floats or integers"
        raise TypeError(f"out has dtype {dtype}; must be of {wanted}")
    exact = 2 ** (np.finfo(dtype).nmant + 1) if dtype.kind == "f" else np.iinfo(dtype).max
    if not norm and most > exact and dtype.itemsize < 4:
        raise ValueError(f"out has dtype {dtype}, which does not hold the {most} pixels of a window")
