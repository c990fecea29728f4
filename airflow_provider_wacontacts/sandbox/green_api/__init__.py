"""A mock server of GREEN-API's methods for contacts."""
