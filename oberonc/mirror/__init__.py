"""Copies of hosted repositories: a webhook says that something moved, git says what."""
