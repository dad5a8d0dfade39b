"""Codes and maps of a region: some pixels of an image, with those around them that the templates reach."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltogp import _compilation
from ltogp._checks import check_templates
from ltogp._geometry import border_sources
from ltogp._mapping import mapping_bins
from ltogp._tiling import Place, refuse_beyond, to_kernel
from ltogp._windows import n_kept
from ltogp.descriptor import encode_channel, geometry_of, normalize_blocks

_NO_MASK = np.empty((0, 0), np.uint8)


class Encoding(NamedTuple):
    """How codes are computed."""

    radii: list[int]
    mode: str
    templates: str | ArrayLike | None
    table: NDArray[np.uint8] | None  # of `mapping`
    n_bins: int
    reach: int  # of the largest radius, in pixels

    @classmethod
    def checked(cls, radii: list[int], mode: str, templates: str | ArrayLike | None, mapping: str) -> Self:
        border_sources(1, 0, mode)
        bins, n_bins = mapping_bins(mapping)
        reach = max(check_templates(templates, r)[2] for r in radii)
        return cls(radii, mode, templates, None if mapping == "default" else bins, n_bins, reach)

    def all_codes(self, region: NDArray[Any], place: Place) -> NDArray[np.uint8]:
        """Return the codes (channel, frame, row, column) at the only radius."""
        codes = [self.codes(region, c, self.radii[0], place) for c in range(len(region))]
        return codes[0][None] if len(codes) == 1 else np.stack(codes)

    def codes(self, region: NDArray[Any], c: int, radius: int, place: Place) -> NDArray[np.uint8]:
        """Return the codes (T, H, W) of channel c, without the `reach` outermost rows and columns."""
        name = place.names[c]
        stack = to_kernel(region[c], name)
        # What "nearest" makes up lies outside what is returned.
        options = (radius, "nearest", self.templates)
        try:
            codes = encode_channel(stack, *options, self.table, 1, name)
        except ValueError:  # which says where in the region
            height, width = stack.shape[1:]
            refuse_beyond(stack, geometry_of(height, width, *options, stack.dtype).limit, name, place)
        r = self.reach
        return codes[:, r : codes.shape[1] - r, r : codes.shape[2] - r]


class Windows(NamedTuple):
    """Which pixels the windows of a map cover."""

    rows: NDArray[np.intp]  # (H', 2): first and last + 1
    columns: NDArray[np.intp]  # (W', 2)

    @classmethod
    def of(cls, shape: tuple[int, int], sizes: tuple[int, int], strides: tuple[int, int]) -> Self:
        return cls(*map(_ranges, shape, sizes, strides))

    def pixels(self, i0: int, i1: int, j0: int, j1: int) -> tuple[int, int, int, int]:
        """Return the rows y0:y1 and columns x0:x1 that windows (i0:i1, j0:j1) cover together."""
        (y0, y1), (x0, x1) = self.rows[[i0, i1 - 1], [0, 1]], self.columns[[j0, j1 - 1], [0, 1]]
        return int(y0), int(y1), int(x0), int(x1)

    def write_histograms(
        self,
        out: NDArray[np.float32],
        region: NDArray[Any],
        visible: NDArray[np.bool_] | None,
        encoding: Encoding,
        norm: int,
        place: Place,
        i0: int,
        i1: int,
        j0: int,
        j1: int,
    ) -> None:
        """Write the histograms of windows (i0:i1, j0:j1) to `out` (T, i1 - i0, j1 - j0, n).

        `region` (channel, frame, row, column) is what they cover and `reach` more on each side; `visible`
        (frame or 1, row, column) only the former.
        """
        y0, y1, x0, x1 = self.pixels(i0, i1, j0, j1)
        bands, rows = _cells(self.rows[i0:i1] - y0, y1 - y0)
        strips, columns = _cells(self.columns[j0:j1] - x0, x1 - x0)
        n_bins = encoding.n_bins
        area = (y1 - y0) * (x1 - x0) / ((len(bands) - 1) * (len(strips) - 1))
        kept = n_kept(rows, area, n_bins)
        kernel = _compilation.compiled("windows", np.dtype(np.float32))
        first = 0
        for c in range(len(region)):
            for radius in encoding.radii:
                codes = encoding.codes(region, c, radius, place)
                for t, part in enumerate(out[..., first : first + n_bins]):
                    in_place = _in_place(part)
                    size = (part.shape[0], part.shape[1] * n_bins)
                    counts = np.empty(size, np.float32) if in_place is None else in_place
                    mask = _NO_MASK if visible is None else visible[t % len(visible)].view(np.uint8)
                    kernel(codes[t], mask, bands, rows, strips, columns, n_bins, kept, counts)
                    if norm:
                        normalize_blocks(counts, n_bins, norm, 1)
                    if in_place is None:
                        part[...] = counts.reshape(part.shape)
                first += n_bins


def _in_place(part: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the histograms (H', W', n) of one radius as rows that are contiguous, if they are in memory."""
    _, n_windows, n = part.shape
    contiguous = part.strides[2] == part.itemsize and (part.strides[1] == n * part.itemsize or n_windows == 1)
    return part.reshape(len(part), -1) if contiguous and part.flags.behaved else None


def _cells(ranges: NDArray[np.intp], n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where n pixels are divided at the ends of windows, and which of the parts each covers."""
    edges = np.unique(np.append(ranges, (0, n)))
    return edges, np.searchsorted(edges, ranges)


def _ranges(n: int, size: int, stride: int) -> NDArray[np.intp]:
    first = np.arange(-(-n // stride)) * stride + (stride - size) // 2
    return np.stack([first, first + size], axis=1).clip(0, n).astype(np.intp)
