"""The dashboard: run folders as a local web page; it reads them and writes nothing."""
