"""`python -m minicnn` is the command line."""

from minicnn.cli import main

main()
