"""How Sphinx builds the site; `make docs` runs tools/build_site.py, which runs Sphinx."""

from importlib.metadata import version as version_of

import latex2mathml.converter
from docutils.nodes import SkipNode

project = "stormswarm"
author = "The stormswarm developers"
copyright = "the stormswarm developers; text and figures CC-BY-4.0, code BSD-3-Clause"
version = release = version_of("stormswarm")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
copybutton_selector = "div:not(.output) > div.highlight > pre"  # code, not what it printed
exclude_patterns = ["generated"]  # is included by the page on timings
default_role = "py:obj"  # in docstrings, `name` links to what it names

# Notebooks are shown as they are stored, never executed
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no scripts from elsewhere
nb_merge_streams = True
nb_code_prompt_show = "Show the solution"  # what is hidden in a notebook is a solution
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes in one list
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_math_renderer = "mathml"  # see below
html_title = "stormswarm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # would read the other pages, which no page on a disk may


def visit_math(self, node):
    """Write a formula as MathML, which browsers draw without a script or a font from elsewhere."""
    self.body.append(latex2mathml.converter.convert(node.astext(), display="inline"))
    raise SkipNode  # or its LaTeX source would follow


def visit_math_block(self, node):
    """Write a formula that stands alone."""
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    self.body.append(self.starttag(node, "div", CLASS="math") + formula + "</div>\n")
    raise SkipNode


def give_captions_a_level(app, pagename, templatename, context, doctree):
    """Say how deep the headings in the theme's list of pages are, for those who hear the page."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app):
    """Register the way formulas are written, and what the theme leaves out."""
    app.connect("html-page-context", give_captions_a_level, priority=900)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
