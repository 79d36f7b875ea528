"""`python -m billing` is the `stablemeter` command."""

from billing.cli.app import main

main()
