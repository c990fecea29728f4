"""What the three systems say, and the loop that asks them."""
