"""Formulas as MathML, which browsers show by themselves: no script, no font from elsewhere."""

from html import escape

from docutils import nodes
from latex2mathml.converter import convert


def show_inline(translator, node: nodes.math) -> None:
    """Write a formula inside a line."""
    _show(translator, node, "inline")


def show_block(translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, which scrolls where it is wider than the page."""
    label = escape(node.astext(), quote=True)
    translator.body.append(f'<div class="formula" tabindex="0" role="group" aria-label="{label}">')
    _show(translator, node, "block")
    translator.body.append("</div>")


def _show(translator, node, display: str) -> None:
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app) -> dict:
    """Register the renderer; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
