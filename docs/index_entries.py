"""
What readers search for, by the page that it leads to. Search shows a page with such an entry before all others.

A test searches for each of them in a browser.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

__all__ = ["INDEX"]

INDEX = {
    "concepts/architecture": ["architecture", "rooms"],
    "concepts/budgets": ["daily budget", "ban", "quota"],
    "concepts/history": ["idempotent", "incremental", "SCD2", "slowly changing dimension", "late data"],
    "concepts/security": ["pseudonymize"],
    "how-to/backfills": ["backfill", "initial load"],
    "how-to/capacity": ["sizing", "backup", "restore"],
    "how-to/checks": ["opt in", "check phone number"],
    "how-to/fleet": ["docker compose", "celery"],
    "how-to/gdpr": ["GDPR", "right to be forgotten", "retention", "subject access"],
    "how-to/identities": ["identity changed"],
    "how-to/lake": ["Iceberg", "Athena", "Trino"],
    "how-to/monitoring": ["watermark", "latency", "monitoring"],
    "how-to/network": ["proxy", "egress"],
    "how-to/permissions": ["permissions", "row-level security"],
    "how-to/receiver": ["webhook signature"],
    "how-to/rotation": ["token expired"],
    "how-to/troubleshooting": ["403 Forbidden", "429 Too Many Requests", "error messages"],
    "how-to/versions": ["upgrade", "uninstall"],
    "how-to/warehouse": ["dbt", "BigQuery", "Snowflake"],
    "index": ["glossary"],
    "reference/cli": ["command line", "CLI", "exit code"],
    "reference/connections": ["pgbouncer"],
    "reference/files": ["parquet"],
    "reference/operators": ["schema drift"],
}


class IndexEntries(SphinxTransform):
    """Add the entries of a page to its first heading."""

    default_priority = 700

    def apply(self, **kwargs: Any) -> None:  # noqa: ARG002 - as Sphinx has it
        """Change the page that is being read."""
        section = self.document.next_node(nodes.section)
        entries = [("single", entry, section["ids"][0], "main", None) for entry in INDEX.get(self.env.docname, [])]
        if entries:
            section.insert(1, addnodes.index(entries=entries))


def setup(app: Sphinx) -> None:
    """Let Sphinx read pages with their entries."""
    app.add_transform(IndexEntries)
