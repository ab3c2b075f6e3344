"""``headroom`` and ``python -m headroom``.

The command's modules take a second or more to load; whoever presses Ctrl-C meanwhile is answered like later.
"""

import os
import sys

# As in the process that projects live: the products of matrices are small, and threads of their own cost a back-test
# nearly half its speed.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command; Ctrl-C ends it with 130 from the first moment on."""
    try:
        from headroom.cli import main as run  # here, for this is what takes long

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing was under way.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
