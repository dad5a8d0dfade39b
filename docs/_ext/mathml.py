"""Write equations as MathML, which browsers draw themselves: no script, and nothing from another site.

docutils, which Sphinx brings, converts them. What it cannot read is a warning, and with -W the build fails.
"""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml


def setup(app: Any) -> dict[str, Any]:
    """Offer ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_inline(page: Any, node: nodes.math) -> None:
    """Put an equation into the line."""
    write(page, node, as_block=False)


def write_block(page: Any, node: nodes.math_block) -> None:
    """Put an equation on a line of its own; a narrow screen scrolls it."""
    page.body.append(page.starttag(node, "div", CLASS="math"))
    write(page, node, as_block=True, end="</div>\n")


def write(page: Any, node: nodes.Node, as_block: bool, end: str = "") -> None:
    """Write an equation and `end`; skip its text, which is LaTeX."""
    from sphinx.util import logging

    try:
        page.body.append(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning("no equation: %s", error, location=node, type="mathml")
    page.body.append(end)
    raise nodes.SkipNode
