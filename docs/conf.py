"""How the site is made of the pages in this folder: `make docs`."""

from __future__ import annotations

import builtins
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.ext.napoleon.docstring import GoogleDocstring

import mmapbuilder
from mmapbuilder import _types

project = "mmapbuilder"
author = "The mmapbuilder authors"
copyright = "the mmapbuilder authors; MIT licence"  # noqa: A001  # the name is Sphinx's
version = release = mmapbuilder.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

# Links between pages lead to headings, as on other sites that show Markdown.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# Names in single backticks are code; those of the reference become links.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# These are not installed where the site is built.
autodoc_mock_imports = ["dask", "ray", "torch"]
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Raises, when the body is left", "Raises")]

html_theme = "furo"
html_title = "mmapbuilder"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
        "color-brand-visited": "#5a3fa0",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cb7ff",
        "color-brand-content": "#7cb7ff",
        "color-brand-visited": "#b7a1ff",
    },
}
pygments_style = "default"
pygments_dark_style = "github-dark"

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
# Outputs are not for copying.
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"

# Long names of NumPy's types, which say no more than their short ones.
for _name in ("ArrayLike", "DTypeLike"):
    setattr(_types, _name, type(_name, (), {"__module__": "numpy.typing"}))

# The types of signatures stand in a module of their own that is called `t`.
_PRIVATE = re.compile(r"\b(?:t|mmapbuilder\._types|_types)\.(?=\w)")


def _without_private_names(
    _app: object,
    _what: str,
    _name: str,
    _obj: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Leave the names of private modules out of signatures."""
    return tuple(text and _PRIVATE.sub("", text) for text in (signature, returns))


def _leave_builtins_alone(_app: object, doctree: nodes.document) -> None:
    """Make no links of `bytes`, `int` and their like, which may be names of properties here."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        if hasattr(builtins, reference.get("reftarget", "")):
            reference.replace_self(reference.children)


def _skip_what_says_nothing(
    _app: object, _what: str, _name: str, member: object, _skip: bool, _options: object
) -> bool | None:
    """Leave fields of named tuples out of which only the number is told."""
    return True if (getattr(member, "__doc__", "") or "").startswith("Alias for field") else None


def _whole_text(self: GoogleDocstring) -> tuple[str, list[str]]:
    """Take what stands before a colon in a property's docstring for words, not for a type."""
    return "", type(self)(self._consume_to_end(), self._config).lines()


GoogleDocstring._consume_inline_attribute = _whole_text


def setup(app: object) -> None:
    """Connect the three hooks above to Sphinx."""
    app.connect("autodoc-skip-member", _skip_what_says_nothing)
    app.connect("autodoc-process-signature", _without_private_names)
    app.connect("doctree-read", _leave_builtins_alone)
