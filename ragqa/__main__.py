"""`python -m ragqa`."""

from ragqa.cli import main

main()
