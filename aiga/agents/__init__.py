"""Agents that are programs: how they are run, some to begin with, and what makes more of them."""
