"""Sphinx's settings: `nox -s docs`, or `sphinx-build -W -b html docs docs/_build/html` with extra docs."""

import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import microexpr

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "microexpr"
author = "The microexpr developers"
copyright = author
version = release = microexpr.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "local_links",
    "mathml",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery"]
nitpicky = True
# What stands in single backticks in a docstring is a link where it is a public name, and code elsewhere.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", r"(?!ltogp|rankpool|l21|microexpr).*")]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_math_renderer = "mathml"
html_css_files = ["equations.css"]

autodoc_typehints = "none"
autosummary_imported_members = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["auto_gallery"],
    "within_subsection_order": ExplicitOrder(
        [
            "plot_tour.py",
            "plot_codes.py",
            "plot_textures.py",
            "plot_slide.py",
            "plot_held_out.py",
            "plot_dynamic_images.py",
            "plot_actions.py",
            "plot_learning_to_rank.py",
            "plot_path.py",
            "plot_outliers.py",
            "plot_experiment.py",
            "plot_face_parts.py",
            "plot_recogniser.py",
            "plot_spotting.py",
            "plot_dask.py",
        ]
    ),
    "download_all_examples": False,
    "capture_repr": ("_repr_html_",),  # tables; not the axes that a drawing function returns
    "min_reported_time": 1,
    "write_computation_times": False,
    "remove_config_comments": True,
    # The first sees the figures of pyplot before the second closes them.
    "image_scrapers": ("figures.scrape", "matplotlib"),
}
html_theme = "pydata_sphinx_theme"
html_title = "microexpr"
html_theme_options = {
    "github_url": "https://github.com/microexpr/microexpr",
    "show_prev_next": False,
    # Without the contents beside them the widest tables have the room.
    "secondary_sidebar_items": {"**": ["page-toc"], "comparison": []},
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
}
html_static_path = ["_static"]
html_show_sourcelink = False


def setup(app):
    """Leave out members that say nothing here."""
    app.connect("autodoc-skip-member", skip_member)


def skip_member(app, what, name, member, skip, options):
    """Leave out fields of named tuples, of which Attributes say more, and scikit-learn's own methods."""
    routing = name.endswith("_request") or name == "get_metadata_routing"
    return True if routing or (member.__doc__ or "").startswith("Alias for field number") else None
