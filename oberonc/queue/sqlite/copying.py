"""A consistent copy of the database, whole or not at all."""

import os
import sqlite3
from pathlib import Path

from oberonc.errors import BadInput
from oberonc.files import sync
from oberonc.queue.sqlite.database import Part


class Copying(Part):
    """`backup`."""

    def backup(self, target: Path) -> None:
        """See `Queue.backup`."""
        if self._database.in_batch:
            raise RuntimeError("a backup inside a batch")
        partial = target.with_name(target.name + ".part")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        try:
            # Made by us first, so that its mode never depends on the umask; VACUUM INTO
            # takes an empty file.
            os.close(os.open(partial, flags, 0o600))
        except OSError as error:
            raise BadInput(f"{partial}: {error.strerror}") from error
        try:
            self._con.execute("VACUUM INTO ?", (str(partial),))
            sync(partial)
            # A link, not a rename: it never replaces a file that is already there.
            os.link(partial, target)
            sync(target.parent)
        except FileExistsError as error:
            raise BadInput(f"{target}: is already there") from error
        except (OSError, sqlite3.Error) as error:
            # The copy failed, perhaps on another disk; that says nothing about the
            # queue's own.
            raise BadInput(f"{target}: cannot write the copy: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
