"""Shared code of the three mock servers: clock, faults, dispatcher, responses, rate limits, timeline."""
