"""The papers' results against their controls."""
