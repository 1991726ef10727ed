"""Worlds; the simulators themselves are libraries."""
