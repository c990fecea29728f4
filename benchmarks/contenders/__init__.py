"""What runs in this project's own environment."""
