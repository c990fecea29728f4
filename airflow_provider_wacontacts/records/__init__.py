"""Contacts as values: their JSON, versions and hashes, and windows of time."""
