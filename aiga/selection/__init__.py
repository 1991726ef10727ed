"""What to choose next: parents, tasks."""
