"""What waits in the triggerer: light to import, and nothing personal in what it carries."""
