"""Requests and responses of the three systems, and the loop that sends them."""
