"""`python -m aiga` is the command line."""

import sys

from aiga.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
