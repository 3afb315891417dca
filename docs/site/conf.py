"""How Sphinx makes the documentation site; docs/site/README.md has the command."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
os.environ["NUMPY_ERNIEM_BACKEND"] = "numpy"  # reading docstrings needs no kernels
sys.path[:0] = [str(HERE), str(ROOT)]

project = "numpy-erniem"
author = "The numpy-erniem maintainers"
release = re.search(
    r'__version__ = "(.*)"', (ROOT / "numpy_erniem" / "__init__.py").read_text(encoding="utf-8")
)[1]
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "mathml"]

# The source is the repository itself, so a link that works on a forge works here too.
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/reference/*.rst",
    "docs/site/README.md",
    "tutorials/*.ipynb",
    "tutorials/README.md",
    "numpy_erniem/tiny/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = ["build", "dist", ".git", ".venv", "**/.ipynb_checkpoints"]

# The menu. It is here because a forge would show a toctree in docs/index.md as code.
MENU = {
    "Start": [
        "/docs/installing",
        "/docs/command_line",
        "Migrating </docs/migrating>",
        "Differences </docs/differences>",
    ],
    "Tasks": [
        "/docs/pipelines",
        "/docs/search",
        "Rerank </docs/rerank>",
        "Classify </docs/classify>",
        "Zero-shot </docs/zero_shot>",
        "Tag </docs/tag>",
        "Answer </docs/answer>",
        "Extract </docs/extract>",
        "Fill </docs/fill>",
        "Choose </docs/choose>",
        "/docs/heads",
        "Explain </docs/explain>",
    ],
    "Models and servers": [
        "Weights </docs/weights>",
        "Quantization </docs/quantization>",
        "Serving </docs/serving>",
        "Scaling </docs/scaling>",
        "Fine-tuning </docs/finetuning>",
        "Training </docs/training>",
        "The bundled checkpoint </numpy_erniem/tiny/README>",
    ],
    "Tutorials": ["About the tutorials </tutorials/README>", "/tutorials/*"],
    "Reference": [
        "/docs/reference/models",
        "/docs/reference/tokenizer",
        "/docs/reference/pipelines",
        "/docs/reference/outputs",
        "/docs/reference/training",
        "/docs/reference/ops",
        "/docs/reference/backend",
        "/docs/reference/plots",
    ],
    "How it works": [
        "/docs/design",
        "Kernels </docs/kernels>",
        "Performance </docs/performance>",
        "Log </docs/log>",
        "Style </docs/style>",
    ],
    "Project": [
        "Changes </CHANGELOG>",
        "Versions </docs/releases>",
        "Contributing </CONTRIBUTING>",
        "Security </SECURITY>",
        "This site </docs/site/README>",
    ],
}

# Pages
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
nb_execution_mode = "off"  # the outputs are those that the notebooks hold
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]
smartquotes = False  # a quote in a type or an option is typed as it stands
html_math_renderer = "mathml"

# Docstrings
default_role = "literal"  # `name`, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's parameters have the types, with shapes
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Look
html_theme = "furo"
html_title = f"numpy-erniem {release}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
# What scrolls can be reached by keys; a heading has a level, a landmark a name, a page a heading.
MENDED = {
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<aside class="sidebar-drawer"': '<aside aria-label="Menu" class="sidebar-drawer"',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<div id="search-results">': '<h1>Search</h1><div id="search-results">',
}
ENTRANCE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>numpy-erniem</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">numpy-erniem: documentation</a></html>
"""


def adapt(app, name: str, source: list[str]) -> None:
    """Give the start page the menu, and leave out what only a forge or a doctest needs.

    A link to a folder, which has no page here, becomes its name. The empty line that ends the
    output of a doctest is dropped.
    """
    source[0] = re.sub(r"\n\n```$", "\n```", source[0], flags=re.MULTILINE)
    source[0] = re.sub(r"\[([^]]+)\]\((?![a-z]+:)[\w./-]+/\)", r"`\1`", source[0])
    if name != root_doc:
        return
    for caption, pages in MENU.items():
        lines = "\n".join(pages)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{lines}\n```\n"


def finish(app, error: Exception | None) -> None:
    """Mend what axe finds in the theme's pages, and add the page at the site's own address."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for before, after in MENDED.items():
            text = text.replace(before, after)
        page.write_text(text, encoding="utf-8")
    (Path(app.outdir) / "index.html").write_text(ENTRANCE, encoding="utf-8")


def setup(app) -> None:
    """Connect the two functions above."""
    app.connect("source-read", adapt)
    app.connect("build-finished", finish)
