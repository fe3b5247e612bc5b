"""Brokers that tests put into a broker folder: files as an administrator writes them.

Those of `legacy` are written as Bitbucket's brokers were, for Python 2.
"""

from pathlib import Path


def source(name: str) -> str:
    """The text of the broker *name*."""
    return (Path(__file__).parent / f"{name}.py").read_text()
