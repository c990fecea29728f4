"""How Sphinx builds these pages."""  # noqa: INP001

import os
import tempfile

# The reference imports operators, and with them Airflow, which makes itself a home.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="wacontacts-docs-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from airflow_provider_wacontacts import __version__

project = "airflow-provider-wacontacts"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"

add_module_names = False
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints_format = "short"
