"""The only code of this package that sends: what to try again and for how long, and a driver over requests."""
