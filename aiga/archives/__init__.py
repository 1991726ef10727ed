"""What keeps the stepping stones."""
