"""`python -m snapstore`: the command, for installations whose scripts are not on the path.

Nothing else is here; the command is `snapstore.cli.main`. Like the script of that name it ends with one of the exit
codes in `snapstore.cli.exit_codes`, and it is never imported by the library.

Rules: keep it to the call below, so that both ways of starting behave the same.
"""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
