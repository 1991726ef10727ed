"""How a new candidate comes from old ones."""
