"""`python -m commonwatt` is `commonwatt`."""

from commonwatt.cli import main

main()
