"""``python -m lib``: the command line of the book."""

from __future__ import annotations

import sys

from lib.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
