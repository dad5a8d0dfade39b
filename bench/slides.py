"""Memory and time of codes and maps of an image of 30,000 x 30,000 pixels, each in a process of its own.

    python bench/slides.py [--size N] [--folder DIR] [CASE ...]

The image is a texture, uint8, in a file that is mapped to memory; codes and maps are written to another one.
Memory is the largest resident set of the process (ru_maxrss), what is mapped included, before and after; the
rest of a file that the system keeps in its cache is not counted. Without a case all run, one after the other;
the files, up to 6 GB, are removed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WINDOW, STRIDE = 64, 16


def mapped(path, shape, dtype=np.uint8):
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def write_image(folder, n):
    from skimage import data

    texture = np.concatenate([data.brick(), data.grass(), data.gravel()], axis=1)
    image = mapped(folder / "image.npy", (n, n))
    mask = mapped(folder / "mask.npy", (n, n), bool)
    row = np.tile(texture, (1, -(-n // texture.shape[1])))[:, :n]
    inside = (np.arange(n) - n / 2) ** 2
    for y in range(0, n, len(row)):
        image[y : y + len(row)] = row[: n - y]
        mask[y : y + len(row)] = inside[y : y + len(row), None] + inside < (0.3 * n) ** 2


def of_codes(folder, image):
    import ltogp

    ltogp.encode_tiles(image, mapped(folder / "out.npy", image.shape))


def in_memory(folder, image):
    import ltogp

    ltogp.encode(image)


def of_map(folder, image, bins, **options):
    import ltogp

    n = -(-image.shape[0] // STRIDE)
    out = mapped(folder / "out.npy", (n, n, bins), np.float32)
    ltogp.histogram_map(image, WINDOW, STRIDE, out=out, **options)


def of_map_under_mask(folder, image):
    mask = np.load(folder / "mask.npy", mmap_mode="r")
    of_map(folder, image, 10, mapping="uniform", mask=mask)


def of_zarr(folder, image):
    import zarr

    import ltogp

    codes = zarr.create_array(
        folder / "codes.zarr", shape=image.shape, dtype="u1", chunks=(1024, 1024), overwrite=True
    )
    ltogp.encode_tiles(zarr.open_array(folder / "image.zarr", mode="r"), codes)


def map_of_zarr(folder, image):
    import zarr

    of_map(folder, zarr.open_array(folder / "image.zarr", mode="r"), 10, mapping="uniform")


def of_dask(folder, image):
    import dask.array as da
    import zarr

    import ltogp

    chunks = da.from_zarr(zarr.open_array(folder / "image.zarr", mode="r"))
    lazy = ltogp.histogram_map(chunks, WINDOW, STRIDE, mapping="uniform")
    da.to_zarr(lazy, folder / "map.zarr", overwrite=True)


def to_zarr(folder, image):
    import zarr

    x = zarr.create_array(folder / "image.zarr", shape=image.shape, dtype="u1", chunks=(1024, 1024))
    for y in range(0, len(image), 1024):
        x[y : y + 1024] = image[y : y + 1024]


CASES = {
    "import": (lambda folder, image: __import__("ltogp"), "only the import"),
    "codes": (of_codes, "encode_tiles, memory map to memory map"),
    "encode": (in_memory, "encode, memory map to memory"),
    "uniform": (
        lambda folder, image: of_map(folder, image, 10, mapping="uniform"),
        "histogram_map, 10 bins, to a memory map of 141 MB",
    ),
    "mask": (of_map_under_mask, "the same with a mask, a disc over 28 % of the image, mapped"),
    "default": (
        lambda folder, image: of_map(folder, image, 256),
        "histogram_map, 256 bins, to a memory map of 3.6 GB",
    ),
    "zarr": (of_zarr, "encode_tiles, zarr to zarr, chunks of 1024 x 1024, zstd"),
    "zarr-map": (map_of_zarr, "histogram_map, 10 bins, of that zarr, to a memory map"),
    "dask": (of_dask, "histogram_map, 10 bins, of a Dask array of that zarr, to zarr"),
}


def run_case(folder, case):
    """Print seconds and MB: in a process of its own."""
    if case == "write":
        write_image(folder, int((folder / "size").read_text()))
        return
    image = np.load(folder / "image.npy", mmap_mode="r")
    if case == "to_zarr":
        to_zarr(folder, image)
        return
    if case != "import":  # compile, or load what is compiled
        import ltogp

        ltogp.encode_tiles(image[:64, :64])
        ltogp.encode_tiles(image[:64, :64], mapping="uniform")
        ltogp.histogram_map(image[:64, :64], 8, 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    CASES[case][0](folder, image)
    seconds = time.perf_counter() - started
    print(
        f"{seconds:.2f} {before / 1024:.0f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--size", type=int, default=30_000)
    parser.add_argument("--folder", type=Path, help="where the files are written for the time being")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run_case(options.folder, options.inside)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        (Path(folder) / "size").write_text(str(options.size))
        command = [sys.executable, __file__, "--folder", folder, "--inside"]
        subprocess.run([*command, "write"], check=True)
        for case in options.cases or CASES:
            if case in ("zarr", "zarr-map", "dask") and not (Path(folder) / "image.zarr").exists():
                subprocess.run([*command, "to_zarr"], check=True)
            done = subprocess.run([*command, case], check=True, capture_output=True, text=True)
            seconds, before, after = done.stdout.split()
            print(f"{CASES[case][1]}: {seconds} s, {after} MB at most, {before} before", flush=True)


if __name__ == "__main__":
    main()
