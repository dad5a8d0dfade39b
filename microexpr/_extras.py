"""What needs a package that the core does not: one rule, one wording."""

from importlib.util import find_spec

# The modules of each extra of pyproject.toml, by the names that pip knows them by.
_PACKAGES = {
    "video": {"av": "av"},
    "face": {"skimage": "scikit-image"},
    "eyes": {"cv2": "opencv-python-headless"},
    "datasets": {"pandas": "pandas", "openpyxl": "openpyxl"},
    "plot": {"matplotlib": "matplotlib"},
    "store": {"zarr": "zarr", "pandas": "pandas", "openpyxl": "openpyxl"},
    "s3": {"s3fs": "s3fs"},
    "dask": {"dask": "dask", "distributed": "distributed"},
    "completion": {"shtab": "shtab"},
    "aeon": {"aeon": "aeon"},
}

#: What each extra is for.
PURPOSES = {
    "video": "videos",
    "face": "faces found in frames and videos (describe, crop)",
    "eyes": "faces cropped with level eyes (crop)",
    "datasets": "data sets and their spreadsheets, simulate",
    "plot": "pictures",
    "store": "feature stores (extract, check, evaluate, train)",
    "s3": "feature stores at s3:// addresses",
    "dask": "work on a cluster (--dask), Dask arrays in ltogp",
    "completion": "completion of commands and options in a shell",
    "aeon": "rank pooling in aeon's pipelines (rankpool.aeon)",
}


def require(purpose: str, *extras: str) -> None:
    """Raise a ModuleNotFoundError that names every package that these extras have and is not there."""
    absent: dict[str, str] = {}
    for extra in extras:
        absent |= {name: extra for module, name in _PACKAGES[extra].items() if not _is_there(module)}
    if absent:
        wanted = ",".join(dict.fromkeys(absent.values()))
        raise ModuleNotFoundError(f"{purpose} needs {', '.join(absent)}; install microexpr[{wanted}]")


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra are there."""
    return all(map(_is_there, _PACKAGES[extra]))


def packages_of(extra: str) -> dict[str, str]:
    """Return the packages of an extra that are what it is for, by their modules: their names for pip."""
    return _PACKAGES[extra]


def _is_there(module: str) -> bool:
    return find_spec(module) is not None
