"""The plugins: what they are, where they are found, how one runs."""
