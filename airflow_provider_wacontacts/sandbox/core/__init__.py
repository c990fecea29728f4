"""What the three mock servers share: clock, faults, dispatcher, responses, rate limits, timeline."""
