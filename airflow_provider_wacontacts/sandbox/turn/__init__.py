"""A mock server of Turn.io's Data Export API for contacts."""
