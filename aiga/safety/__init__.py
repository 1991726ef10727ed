"""What keeps a run within what its user allowed."""
