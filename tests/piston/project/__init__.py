"""A small Django project with an API, for tests by real servers and in the process."""
