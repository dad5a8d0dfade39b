"""Codes and maps of Dask arrays, computed when Dask computes them. Only imported for one."""

from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from ltogp._geometry import border_sources
from ltogp._regions import Encoding, Windows
from ltogp._tiling import Place, Source


def encode(image: Source, encoding: Encoding, tile: tuple[int, int] | None) -> Any:
    """Return the codes, in the chunks of the image, but for chunks that the templates reach across."""
    depth = (encoding.reach, encoding.reach)
    x = _chunked(_ordered(image), tile, (1, 1), depth)
    padded = _overlapping(_padded(x, encoding.reach, encoding.mode), depth)
    bare = image._replace(array=None)  # what goes to workers

    def codes(region: NDArray[Any], block_info: Any = None) -> NDArray[np.uint8]:
        frame, row, column = (start for start, _ in block_info[None]["array-location"][1:])
        place = _place(bare, encoding, frame, row, column, region)
        return encoding.all_codes(region, place)

    meta = np.empty((0,) * 4, np.uint8)
    return image.restored(da.map_blocks(codes, padded, chunks=x.chunks, dtype=np.uint8, meta=meta))


def histogram_map(
    image: Source,
    mask: Source | None,
    encoding: Encoding,
    windows: Windows,
    strides: tuple[int, int],
    norm: int,
    tile: tuple[int, int] | None,
) -> Any:
    """Return the map, in a chunk for each chunk of the image: their edges are moved to whole strides."""
    reach, n_channels = encoding.reach, image.shape[0]
    n = n_channels * len(encoding.radii) * encoding.n_bins
    # How far windows reach beyond their cells, and so beyond the chunk.
    beyond = tuple(_beyond(pairs, s) for pairs, s in zip(windows, strides, strict=True))
    depth = tuple(reach + d for d in beyond)
    x = _chunked(_ordered(image), tile, strides, depth)
    regions = [_overlapping(_padded(x, reach, encoding.mode), depth)]
    if mask is not None:
        seen: Any = _ordered(mask)
        frames = x.chunks[1] if seen.shape[1] == x.shape[1] else seen.chunks[1]
        seen = seen.rechunk((1, frames, *x.chunks[2:]))
        regions.append(_overlapping(seen, beyond))
    bare = image._replace(array=None)  # what goes to workers

    def histograms(
        region: NDArray[Any], visible: NDArray[Any] | None = None, block_info: Any = None
    ) -> NDArray[np.float32]:
        (frame, last), (i0, i1), (j0, j1), _ = block_info[None]["array-location"]
        y0, y1, x0, x1 = windows.pixels(i0, i1, j0, j1)
        # Where the region begins: at the border only what the templates reach was added, else all.
        top, left = i0 * strides[0], j0 * strides[1]
        dy, dx = (beyond[0] if i0 else 0), (beyond[1] if j0 else 0)
        covered = np.s_[y0 - top + dy : y1 - top + dy, x0 - left + dx : x1 - left + dx]
        if visible is not None:
            visible = visible[0][(slice(None), *covered)]
        out = np.empty((last - frame, i1 - i0, j1 - j0, n), np.float32)
        if y0 == y1 or x0 == x1 or (visible is not None and not visible.any()):
            out[...] = 0
            return out
        rows, columns = (slice(part.start, part.stop + 2 * reach) for part in covered)
        region = region[:, :, rows, columns]
        place = _place(bare, encoding, frame, y0, x0, region)
        windows.write_histograms(out, region, visible, encoding, norm, place, i0, i1, j0, j1)
        return out

    cells = [tuple(-(-c // s) for c in x.chunks[2 + k]) for k, s in enumerate(strides)]
    result = da.map_blocks(
        histograms,
        *regions,
        drop_axis=0,
        new_axis=3,
        chunks=(x.chunks[1], *cells, (n,)),
        dtype=np.float32,
        meta=np.empty((0,) * 4, np.float32),
    )
    return result if image.axes[1] >= 0 else result[0]


def stored(lazy: Any, out: Any) -> Any:
    """Store to `out`, if there is one."""
    if out is None:
        return lazy
    da.store(lazy.astype(out.dtype), out)
    return out


def _ordered(source: Source) -> Any:
    """Return a Dask array (channel, frame, row, column), with all channels in a chunk."""
    array = source.array
    x: Any = source.ordered(array if isinstance(array, da.Array) else da.from_array(array))
    return x.rechunk({0: -1})


def _beyond(pairs: NDArray[np.intp], stride: int) -> int:
    """Return how far windows of these pixels reach beyond their cells, at most."""
    cells = np.arange(len(pairs)) * stride
    return max(0, int((cells - pairs[:, 0]).max()), int((pairs[:, 1] - cells - stride).max()))


def _chunked(x: Any, tile: tuple[int, int] | None, strides: tuple[int, int], depth: tuple[int, ...]) -> Any:
    """Join chunks of rows and columns until each is as long as `depth`, and move edges to whole strides."""
    chunks = {}
    for axis, step, d in zip((2, 3), strides, depth, strict=True):
        n, edges = x.shape[axis], [0]
        ends = np.cumsum(x.chunks[axis]) if tile is None else range(tile[axis - 2], n, tile[axis - 2])
        for end in ends:
            edge = -(-int(end) // step) * step
            if edge - edges[-1] >= max(1, d) and n - edge >= max(1, d):
                edges.append(edge)
        chunks[axis] = tuple(b - a for a, b in pairwise([*edges, n]))
    return x.rechunk(chunks)


def _padded(x: Any, reach: int, mode: str) -> Any:
    """Add what lies beyond the borders, to the outermost chunks."""
    for axis in (2, 3) if reach else ():
        chunks = list(x.chunks[axis])
        chunks[0] += reach
        chunks[-1] += reach
        sources = border_sources(x.shape[axis], reach, mode)
        before, after = (_taken(x, part, axis) for part in (sources[:reach], sources[-reach:]))
        x = da.concatenate([before, x, after], axis=axis).rechunk({axis: tuple(chunks)})
    return x


def _taken(x: Any, sources: NDArray[np.intp], axis: int) -> Any:
    """Return these rows or columns, -1 being zeros: all of them, or none."""
    taken = da.take(x, sources.clip(0), axis=axis)
    return taken if sources[0] >= 0 else da.zeros_like(taken)


def _overlapping(x: Any, depth: tuple[int, ...]) -> Any:
    """Give each chunk that many rows and columns of its neighbours."""
    return da.overlap.overlap(x, depth={2: depth[0], 3: depth[1]}, boundary="none", allow_rechunk=False)


def _place(image: Source, encoding: Encoding, frame: int, y: int, x: int, region: NDArray[Any]) -> Place:
    rows, columns = (border_sources(n, encoding.reach, encoding.mode) for n in image.shape[2:])
    return Place(image.names, frame, rows[y : y + region.shape[2]], columns[x : x + region.shape[3]])
