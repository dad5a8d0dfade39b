"""The docs site without building it: the reference is complete, dead links are found."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import microexpr

DOCS = Path(__file__).parents[1] / "docs"
MODULES = (
    "ltogp",
    "rankpool",
    "l21",
    "microexpr",
    "microexpr.data",
    "microexpr.experiment",
    "microexpr.plots",
)
REFERENCE = "\n".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))


@pytest.mark.parametrize("module", [*MODULES, "microexpr.spotting"])
def test_the_reference_has_every_public_name(module):
    listed = set(re.findall(r"(?m)^   (\w+)$", REFERENCE)) | set(re.findall(r"`(\w+)`", REFERENCE))
    assert set(importlib.import_module(module).__all__) <= listed


def test_the_reference_has_no_other_names():
    for module, names in re.findall(r"currentmodule:: (\S+)\n.*?nosignatures:\n\n(.*?)```", REFERENCE, re.S):
        assert set(names.split()) <= set(importlib.import_module(module).__all__)


def test_the_version_is_the_same_everywhere():
    root = DOCS.parent
    assert f"\nversion: {microexpr.__version__}\n" in (root / "CITATION.cff").read_text()
    assert f"\n## [{microexpr.__version__}] - " in (root / "CHANGELOG.md").read_text()


def test_the_gallery_is_in_order():
    listed = re.findall(r'"(plot_\w+\.py)"', (DOCS / "conf.py").read_text())
    assert sorted(listed) == sorted(path.name for path in (DOCS / "gallery").glob("plot_*.py"))


def dead_links(root):
    spec = importlib.util.spec_from_file_location("local_links", DOCS / "_ext/local_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dead_links(root)


def test_dead_links_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "picture.png").touch()
    (tmp_path / "index.html").write_text(
        '<a href="sub/page.html#here">1</a><a href="#top">2</a><a href="https://example.org/nothing">3</a>'
        '<a href="#">4</a><img src="picture.png"><img src="no.png"><a href="sub/page.html#nowhere">5</a>'
        '<b id="top">'
    )
    (tmp_path / "sub/page.html").write_text(
        '<p id="here"><a href="../index.html">1</a><a href="gone.html">2</a>'
    )
    assert dead_links(tmp_path) == [
        ("index.html", "no.png"),
        ("index.html", "sub/page.html#nowhere"),
        ("sub/page.html", "gone.html"),
    ]
