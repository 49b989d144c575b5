"""The program's entry: `ragqa`, and `python -m ragqa`."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while that is still being imported ends without a traceback."""
    try:
        from ragqa.cli import main as program
    except KeyboardInterrupt:
        sys.exit(130)
    program()


if __name__ == "__main__":
    main()
