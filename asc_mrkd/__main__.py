"""`python -m asc_mrkd` is `asc-mrkd`."""

from asc_mrkd.cli import main

main()
