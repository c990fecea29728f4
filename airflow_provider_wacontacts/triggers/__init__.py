"""Triggers: light to import, and without personal data in their arguments and events."""
