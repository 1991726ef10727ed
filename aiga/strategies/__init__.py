"""Searches around one point of genome space, and populations of them."""
