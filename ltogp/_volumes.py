"""A kernel for clips: codes on three orthogonal planes, all computed along x and counted frame by frame.

The images XT and YT are never formed. A few frames are copied with borders, in space and in time, and the
codes of all their pixels computed at once on each plane: as of an image whose rows, on YT columns too, are as
far apart as the clip's frames and rows. Forming the images took 5.2 x as long as the histograms of frames,
most of it to read pixels one by one and to write and sum a histogram for each image; this takes 3.6 x.
"""

# mypy: allow-untyped-defs

import numpy as np

from ltogp._blocks import show, uncount_hidden
from ltogp._kernels import chunk_shape, code_gradients, count_mapped, fill_padded, flip_of, hide

# So many frames are copied and coded at once.
FRAMES = 16


def volume(frames, piece, blocks, geometry, times, out, table, mask, reaches):
    """Write the histograms of bands b0:b1, of frames t0:t1 together, to `out` (1, ...).

    In the order plane (XY, XT, YT), radius, band, block, bin. Arguments as those of `_kernels.histogram`, and
    `times` names the source of each padded frame, from `border_sources`.
    """
    t0, t1, b0, b1 = piece
    bands, edges = blocks
    rows, columns, reach, _, _, limit = geometry
    n_bins = np.intp(table.max()) + 1
    stride, height = chunk_shape(frames, reach)
    height = min(height, (bands[:, 1] - bands[:, 0]).max())
    slab = (height + 2 * reach) * stride
    width, masked = frames.shape[2], mask.size > 0
    padded = np.empty((FRAMES + 2 * reach + 1) * slab + 4 * reach + 256, frames.dtype)
    chunk = np.empty((FRAMES + 1) * slab + 64, np.uint8)
    words = chunk[: len(chunk) // 8 * 8].view(np.uint64)
    shown = np.empty(FRAMES * slab if masked else 0, np.uint8)
    seen = np.empty(FRAMES * width if masked else 0, np.uint8)
    counters = np.zeros(12 * 256, np.uint8)
    begin = reach * (slab + stride + 1)  # the first pixel
    for b in range(b0, b1):
        for y in range(bands[b, 0], bands[b, 1], height):
            n_rows = min(height, bands[b, 1] - y)
            held = 0
            for t in range(t0, t1, FRAMES):
                n = min(FRAMES, t1 - t)
                if held:  # the last frames are the first of the next
                    padded[: 2 * reach * slab] = padded[held * slab : (held + 2 * reach) * slab]
                for k in range(2 * reach if held else 0, n + 2 * reach):
                    to = padded[k * slab : (k + 1) * slab]
                    if times[t + k] < 0:
                        to[:] = flip_of(limit)
                    else:
                        fill_padded(
                            frames, times[t + k], y, n_rows, 0, rows, columns, reach, limit, to, stride
                        )
                held = n
                if masked:
                    for k in range(n):
                        show(mask, t + k, y, n_rows, stride, shown[k * slab :], seen[k * width :])
                n_pixels = (n - 1) * slab + n_rows * stride
                for i in range(len(reaches)):
                    r = reaches[i]
                    for plane in range(3):
                        # One step right and one step down are this far apart.
                        if plane == 0:
                            e, s = 1, stride
                        elif plane == 1:
                            e, s = 1, slab
                        else:
                            e, s = stride, slab // stride
                        first = begin - r * e * (s + 1)
                        code_gradients(padded[first:], -(-n_pixels // s), s, r * e, chunk)
                        column = ((plane * len(reaches) + i) * len(bands) + b) * len(edges) * n_bins
                        for k in range(n):
                            codes, eights = chunk[k * slab :], words[k * slab // 8 :]
                            if masked:
                                hide(codes, n_rows * stride, shown[k * slab :])
                            new, where = t == t0 and k == 0 and y == bands[b, 0], (out, 0, column)
                            count_mapped(
                                codes,
                                eights,
                                n_rows,
                                stride,
                                edges,
                                counters,
                                new,
                                where,
                                where,
                                n_bins,
                                table,
                            )
                            if masked:
                                uncount_hidden(seen[k * width :], n_rows, edges, out, 0, column, n_bins)
    return -1
