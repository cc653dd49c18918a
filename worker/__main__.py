"""`python -m worker`: the command line. Nothing is imported from the directory that it is called in."""

import os
import sys

if __name__ == "__main__":
    # `-m` puts the working directory before all others; in a checkout that is not installed, it is where
    # we are. pathlib could be a file there.
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - see above
    if not sys.flags.safe_path and sys.path[0] != here:
        del sys.path[0]

    from worker.cli import main

    main()
