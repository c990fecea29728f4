"""How Sphinx builds these pages."""

import os
import sys
import tempfile
from pathlib import Path

# The reference imports operators, and with them Airflow, which makes itself a home.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="wacontacts-docs-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from airflow_provider_wacontacts import __version__

project = "airflow-provider-wacontacts"
version = release = __version__

sys.path.insert(0, str(Path(__file__).parent))
extensions = ["index_entries", "myst_parser", "notfound.extension", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
html_show_copyright = False
html_show_sourcelink = False

copybutton_exclude = ".linenos, .gp, .go"
notfound_urls_prefix = None
notfound_context = {
    "title": "Page not found",
    "body": "<h1>Page not found</h1><p>Use the search, or go back to the <a href='/index.html'>start page</a>.</p>",
}

add_module_names = False
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints_format = "short"
