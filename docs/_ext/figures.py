"""Show in the gallery the figures that an example holds under a name: `plot_description` returns one, say.

sphinx-gallery looks for those of pyplot only. The functions of this package that draw several axes make a
figure without pyplot, which a notebook shows as the value of its last line.
"""

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save each figure that pyplot does not know and was not shown yet; return the text that shows them."""
    paths = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Figure) and not hasattr(value, "_seen"):
            value._seen = True
            if value.canvas.manager is None:
                paths.append(next(block_vars["image_path_iterator"]))
                value.savefig(paths[-1])
    return figure_rst(paths, gallery_conf["src_dir"])
