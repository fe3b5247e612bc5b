"""The hooks of repositories: where they go, what is in them, who could run them."""
