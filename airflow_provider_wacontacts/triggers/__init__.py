"""Triggers. They import quickly, and their arguments and events have no personal data."""
