"""Setting up and finding out what is wrong: for the person who runs oberonc."""
