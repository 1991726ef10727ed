"""The loop, the run directory, events, pools, claims and reports."""
