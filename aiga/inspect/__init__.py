"""Analyses of runs, and their pictures."""
