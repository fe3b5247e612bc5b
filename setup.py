"""What pyproject.toml cannot say: an sdist and a wheel of the same files are the same
bytes, and what the page of a package index says.

Setuptools writes the time, the account and the umask of who builds into it. Here all
files get the time SOURCE_DATE_EPOCH (seconds since 1970; without it, now), no account,
and a mode that says only whether it is a program.
"""

import gzip
import os
import re
import tarfile
import time
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist


class SameSdist(sdist):
    """`sdist` with an archive that depends on nothing but its files and the time."""

    def make_archive(self, base_name: str, *_: Any, **names: Any) -> str:
        """Pack the folder *base_dir* of *names*; returns the archive's path."""
        when = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
        archive = Path(f"{base_name}.tar.gz")
        top = Path(names["base_dir"])

        def same(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime, member.uid, member.gid = when, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        with (
            archive.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=when) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in [top, *sorted(top.rglob("*"))]:
                tar.add(path, path.as_posix(), recursive=False, filter=same)
        return str(archive)


class SameWheel(bdist_wheel):
    """`bdist_wheel` whose files have no more of a mode than that they are programs."""

    def write_wheelfile(self, *given: Any, **named: Any) -> None:
        """Write the last file that comes into it; then all are there."""
        super().write_wheelfile(*given, **named)
        for path in Path(self.bdist_dir or "").rglob("*"):
            if path.is_file():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def index_page() -> str:
    """The README as an index shows it, where no file of the tree is: of a link to one
    the words are left, of a picture its description.
    """
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^]]*)\]\((?!https?:)[^)]*\)", r"*\1*", text)
    text = re.sub(r"(?<!!)\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return (
        f"{text}\nThe pages that are named here come along, in `share/doc/oberonc`.\n"
    )


setup(
    cmdclass={"sdist": SameSdist, "bdist_wheel": SameWheel},
    long_description=index_page(),
    long_description_content_type="text/markdown",
)
