"""Fixtures of more than one test module."""

import importlib.util
from pathlib import Path

import pytest


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
