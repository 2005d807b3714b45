"""`python -m snnx`."""

import sys

from snnx.cli import main

if __name__ == "__main__":
    sys.exit(main())
