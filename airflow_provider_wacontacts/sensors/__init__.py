"""Sensors, which wait for the results of an earlier task."""
