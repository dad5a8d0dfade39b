"""Fixtures of more than one test module."""

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """The folder that MICROEXPR_DATA names: data that may not be copied into this repository.

    Tests that use it are an extra, marked `data`: the others must not leave anything untested without them.
    """
    folder = os.environ.get("MICROEXPR_DATA")
    if not folder:
        pytest.skip("MICROEXPR_DATA does not name a folder of real data")
    if not Path(folder).is_dir():
        pytest.fail(f"MICROEXPR_DATA is {folder}, which is not a folder")
    return Path(folder)


def pytest_collection_modifyitems(items):
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)



@pytest.fixture(scope="session")
def dataset_trees():
    """The module tests/dataset_trees.py, by its path: --import-mode=importlib puts no folder on sys.path."""
    path = Path(__file__).with_name("dataset_trees.py")
    spec = importlib.util.spec_from_file_location("dataset_trees", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_tree(dataset_trees, tmp_path):
    """Write a data set's tree into a folder of its own: ``make_tree("samm", quirks="all")`` -> its root."""

    def make(name, **options):
        root = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        return dataset_trees.make_tree(root, name, **options)

    return make
