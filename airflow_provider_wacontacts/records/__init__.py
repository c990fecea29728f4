"""A contact as a value: its JSON, versions, hashes and windows of time."""
