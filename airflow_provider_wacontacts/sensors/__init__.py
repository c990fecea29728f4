"""Sensors: they wait until the answers of an earlier task are in."""
