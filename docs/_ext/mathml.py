"""Write equations as MathML, which browsers draw themselves: no script, and nothing from another site.

What cannot be converted is a warning, and with -W the build fails.
"""

import html
from typing import Any

from docutils import nodes


def setup(app: Any) -> dict[str, Any]:
    """Offer ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_inline(page: Any, node: nodes.math) -> None:
    """Put an equation into the line."""
    page.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def write_block(page: Any, node: nodes.math_block) -> None:
    """Put an equation on a line of its own; a narrow screen scrolls it."""
    style = "overflow-x: auto; margin-bottom: 1.15rem; text-align: center"
    page.body.append(f'<div style="{style}">{mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def mathml(node: nodes.Element, display: str) -> str:
    """Convert an equation; an unknown command would stand on the page as it is written."""
    from latex2mathml.converter import convert
    from sphinx.util import logging

    latex = node.astext()
    try:
        written = convert(latex, display=display)
    except Exception as error:  # it has a dozen of its own, without a common base
        written, problem = f"<code>{html.escape(latex)}</code>", repr(error)
    else:
        problem = "an unknown command" if "\\" in written else ""
    if problem:
        logging.getLogger(__name__).warning("%s in %s", problem, latex, location=node, type="mathml")
    return written
