"""Who pushed, where all who push share one account: what `authorized_keys` says per
key.
"""

from pathlib import Path

import pytest

from tests.support.pushes import Catch, put_hook
from tests.support.repo import Repo

#: What sshd does with the line that docs/hooks.md shows: it runs the key's command,
#: which knows what was asked for.
FORCED = """\
#!/bin/sh
for SSH_ORIGINAL_COMMAND; do :; done
export SSH_ORIGINAL_COMMAND
{line}
"""


def _line() -> str:
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
    [key] = [line for line in page.splitlines() if line.startswith("restrict,command=")]
    return key.partition('command="')[2].partition('" ssh-')[0].replace('\\"', '"')


@pytest.mark.parametrize(
    ("env", "who"),
    [
        ({}, "ann"),
        ({"OBERONC_USER": "mallory"}, "ann"),
        ({"REMOTE_USER": "mallory"}, "ann"),
    ],
    ids=["nothing said", "the client's own", "a web server's"],
)
def test_the_line_of_the_key_says_who_pushed(
    bare: Repo, home: Path, tmp_path: Path, env: dict[str, str], who: str
) -> None:
    put_hook(bare.path / "hooks", "post-receive")
    catch = Catch(home)
    ssh = tmp_path / "ssh"
    ssh.write_text(FORCED.format(line=_line()))
    ssh.chmod(0o755)
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.git(
        "push", "-q", f"ssh://git@server{bare.path}", "main", GIT_SSH=str(ssh), **env
    )
    [payload] = catch.take()
    assert payload["user"] == who
