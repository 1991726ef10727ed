"""Numbers of the authors' code and of reference libraries."""
