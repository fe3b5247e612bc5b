"""Pushes of one machine to the `oberonc web` of another: the real one, with TLS, and a
daemon behind it.
"""

from pathlib import Path

from oberonc.delivery import spool
from tests.support.admin import Admin
from tests.support.buses import certificate
from tests.support.command import Command
from tests.support.daemon_site import Site
from tests.support.ports import free_port
from tests.support.repo import Repo
from tests.support.web import Faces, tokens


def configure(admin: Admin, url: str, role: str = "submit", more: str = "") -> None:
    file = admin.home / "token"
    file.touch(0o600)
    file.write_text(f"{role}-token")
    admin.configure(f'delivery = "{url}"\ndelivery_token = "file:{file}"\n{more}')


def send(oberonc: Command, repo: Repo, message: str) -> str:
    """Send a commit by hand, which has more time than a hook; returns what is said."""
    repo.commit(message)
    return oberonc("send", "--rev", "HEAD", cwd=repo.path).out


def sent(site: Site) -> list[str]:
    rows = [row["payload"] for row in site.rows() if "payload" in row]
    return [row["commits"][-1]["message"].strip() for row in rows]


def test_a_commit_goes_to_the_daemon_of_another_machine_once(
    site: Site, faces: Faces, admin: Admin, repo: Repo, oberonc: Command
) -> None:
    tokens(site, ["submit", "read"])
    site.start()
    face = faces.start()
    configure(admin, f"http://127.0.0.1:{face.port}", "read")
    assert "give it the role submit" in send(oberonc, repo, "first")
    configure(admin, f"http://127.0.0.1:{face.port}")
    # As if the answer had been lost: what was sent is there still.
    (path,) = spool.listing(admin.state / "spool")
    kept = path.read_bytes()
    assert "queued 1 commit" in send(oberonc, repo, "second")
    path.write_bytes(kept)
    assert "accepted" in oberonc("send", "--spooled").out
    site.settled(done=2)
    assert sent(site) == ["first", "second"]
    assert f"127.0.0.1:{face.port} takes pushes from here" in oberonc("doctor").out


def test_what_waited_while_the_other_machine_was_down_comes_in_order(
    site: Site, faces: Faces, admin: Admin, repo: Repo, oberonc: Command
) -> None:
    tokens(site, ["submit"])
    configure(admin, f"http://127.0.0.1:{free_port()}")
    for number in range(3):
        said = send(oberonc, repo, f"number {number}")
        assert "does not answer: Connection refused" in said
    site.start()
    configure(admin, f"http://127.0.0.1:{faces.start().port}")
    assert oberonc("send", "--spooled").out.count("accepted") == 3
    site.settled(done=3)
    assert sent(site) == ["number 0", "number 1", "number 2"]


def test_only_a_host_whose_certificate_is_trusted_gets_the_token(
    site: Site,
    faces: Faces,
    admin: Admin,
    repo: Repo,
    oberonc: Command,
    tmp_path: Path,
) -> None:
    key, made = certificate(tmp_path)
    tokens(site, ["submit"])
    both = f'[web]\ncertificate = "{made}"\nkey = "{key}"'
    site.file.write_text(site.file.read_text().replace("[web]", both))
    site.start()
    port, trusted = faces.start().port, f'delivery_ca = "{made}"'
    configure(admin, f"https://127.0.0.1:{port}")
    assert "certificate verify failed" in send(oberonc, repo, "first")
    # The certificate is for the address, and not for the name.
    configure(admin, f"https://localhost:{port}", more=trusted)
    assert "certificate verify failed" in send(oberonc, repo, "second")
    configure(admin, f"https://127.0.0.1:{port}", more=trusted)
    assert "queued 1 commit" in send(oberonc, repo, "third")
    site.settled(done=3)
    assert sent(site) == ["first", "second", "third"]
