"""`python -m oberonc`: the same as the `oberonc` command."""

from oberonc.cli import main

main()
