"""From what git says to one payload."""
