"""Where programs that nobody has read may run: no network, no files of ours, no credentials, and limits on the rest."""
