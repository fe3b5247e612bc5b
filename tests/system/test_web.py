"""The HTTP face on a server: under its unit and account, behind nginx and behind Caddy."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.blocks import commands
from tests.support.eventually import eventually
from tests.support.trackers.servers import need
from tests.support.webhooks import SECRET, example
from tests.system.server import Server
from tests.web.test_incoming import MEANS

CONFIG = """
[web]
behind_proxy = true

[web.tokens.admin]
token = "file:/etc/oberonc/web/admin"
role = "admin"

[webhooks.shop]
forge = "github"
secret = "file:/etc/oberonc/web/shop"
"""
CONTRIB = Path(__file__).parents[2] / "contrib"
_PROGRAMS = {"nginx": "sbin/nginx", "caddy": "bin/caddy"}
_FILES = {"nginx": "nginx.conf", "caddy": "Caddyfile"}
_CERTIFICATE = """
install -d /etc/ssl/oberonc && cd /etc/ssl/oberonc
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=oberonc.example.org \
    -keyout key.pem -out fullchain.pem 2>/dev/null
"""
HOST = "oberonc.example.org"


@pytest.fixture
def web(server: Server) -> Server:
    """A server whose HTTP face runs as docs/web.md says."""
    config = server.machine.path("/etc/oberonc/config.toml")
    config.write_text(config.read_text() + CONFIG)
    install, secrets, proxy = commands("web.md", "On a server")
    server.sh(secrets)
    for name, secret in (("shop", SECRET), ("admin", "admin-token")):
        server.machine.write(f"/etc/oberonc/web/{name}", secret, 0o400, "oberonc-web")
    server.sh(install)
    server.sh(proxy)
    return server


def send(server: Server, how: str, path: str, *words: str) -> tuple[int, Any]:
    """One request by curl, from the machine itself."""
    said = server.run(
        *("curl", "--silent", "--show-error", "--insecure", "--max-time", "60"),
        *("--write-out", "\n%{http_code}", *how.split(), *words, path),
    )
    body, _, status = said.out.rpartition("\n")
    return int(status), json.loads(body)


def test_the_account_of_the_face_asks_the_daemon_and_reads_no_secret_of_its_services(
    web: Server,
) -> None:
    web.machine.write("/etc/oberonc/tracker", "hunter2", 0o400, "oberonc")
    pid = dict(
        line.split("=", 1)
        for line in web.run("systemctl", "show", "oberonc-web").out.splitlines()
    )["MainPID"]
    status = web.run("cat", f"/proc/{pid}/status").out
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = web.sh("id -u oberonc-web").out.strip()
    assert facts["Uid"].split() == [uid] * 4
    assert (facts["NoNewPrivs"], facts["CapBnd"]) == ("1", "0" * 16)
    for line in (
        "cat /etc/oberonc/tracker",
        "ls /var/lib/oberonc",
        "ls /var/spool/oberonc/new",
        "cat /etc/shadow",
    ):
        assert web.sh(line, None, user="oberonc-web").code != 0, line
    assert web.sh("stat -c '%a %U:%G' /run/oberonc/web.sock").out == (
        "660 oberonc-web:oberonc-proxy\n"
    )
    # Nor does the daemon read what is the face's.
    assert web.sh("cat /etc/oberonc/web/shop", None, user="oberonc").code != 0
    token = ("--header", "Authorization: Bearer admin-token")
    how = "--unix-socket /run/oberonc/web.sock"
    status_code, stats = send(web, how, "http://localhost/api/stats", *token)
    assert (status_code, stats["generation"] >= 1) == (200, True)
    assert web.sh("oberonc reload", None).code == 0, "the daemon needs no secret of it"


def test_it_is_stopped_and_started_without_a_refusal(web: Server) -> None:
    how = "--unix-socket /run/oberonc/web.sock"
    web.sh("systemctl stop oberonc-web.service")
    # The socket is systemd's: who comes meanwhile has it started.
    assert send(web, how, "http://localhost/health") == (200, {"status": "ok"})
    web.sh("systemctl restart oberonc-web.service")
    ready = {"status": "ready", "pushes": "accepted"}
    assert send(web, how, "http://localhost/health/ready") == (200, ready)


MIRROR = """
[webhooks.mirrored]
forge = "gitea"
secret = "file:/etc/oberonc/web/shop"
mirror = true
url = "file:///srv/git/{repository}.git"
repositories = ["app"]
"""


def test_a_push_whose_webhook_never_came_is_found_by_the_timer_s_service(
    web: Server,
) -> None:
    config = web.machine.path("/etc/oberonc/config.toml")
    config.write_text(config.read_text() + MIRROR)
    web.sh("rm -f /srv/git/app.git/hooks/*")
    enable, by_hand = commands("web.md", "A webhook as a bell")
    web.sh(enable)
    web.sh("cd / && oberonc mirror add mirrored app", user="oberonc-web")
    assert "app  mirrored  fetched" in web.sh("oberonc mirror list").out
    pushed = web.push("ann", "app", "main")
    web.sh(by_hand)
    assert [row["updates"][0]["new"] for row in eventually(web.rows, 60)] == [
        pushed.new
    ]
    web.sh("mv /srv/git/app.git /srv/git/gone.git")
    # Whoever looks at the units sees it.
    assert web.sh(by_hand, None).code != 0
    assert "1 mirror could not be fetched" in web.machine.journal()
    assert web.sh("systemctl is-active oberonc-web").out.strip() == "active"


@pytest.mark.server
@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_a_push_of_a_forge_comes_through_the_proxy_as_it_is_shipped(
    web: Server, proxy: str
) -> None:
    need(web.machine.path(f"/usr/{_PROGRAMS[proxy]}").exists(), proxy)
    shipped = (CONTRIB / _FILES[proxy]).read_text()
    web.sh(_CERTIFICATE)
    web.sh(f"echo 127.0.0.1 {HOST} >> /etc/hosts")
    if proxy == "nginx":
        web.machine.write("/etc/nginx/sites-enabled/oberonc", shipped)
        web.sh("rm -f /etc/nginx/sites-enabled/default; nginx -t")
        web.machine.spawn("/usr/sbin/nginx", "-g", "daemon off;")
    else:
        # There is nobody here to ask for a certificate.
        web.machine.write(
            "/etc/caddy/Caddyfile",
            "{\n\tlocal_certs\n\tskip_install_trust\n}\n" + shipped,
        )
        web.sh("usermod --append --groups oberonc-proxy caddy")
        bind = "--inh-caps=+net_bind_service --ambient-caps=+net_bind_service"
        # As its unit does: its own account, which may listen on this port.
        who = "--reuid=caddy --regid=caddy --init-groups"
        bind = "--inh-caps=+net_bind_service --ambient-caps=+net_bind_service"
        web.machine.spawn(
            *f"setpriv {who} {bind} env HOME=/var/lib/caddy caddy run".split(),
            *("--config", "/etc/caddy/Caddyfile"),
        )
    eventually(
        lambda: web.sh("ss -Hltn 'sport = :443'").out,
        60,
        "the proxy does not listen",
    )
    each = example("github/push_squash_merge")
    assert each.name in MEANS
    web.machine.path("/tmp/body").write_bytes(each.raw)
    headers = [
        word
        for name, value in [*each.headers.items(), ("X-Forwarded-For", "203.0.113.9")]
        for word in ("--header", f"{name}: {value}")
    ]
    given = (*headers, "--data-binary", "@/tmp/body")
    status, answer = send(web, "", f"https://{HOST}/in/shop", *given)
    assert (status, answer["status"]) == (200, "accepted")
    eventually(lambda: [row["id"] for row in web.rows()] == [answer["event"]], 60)
    # Who pushed is who the forge says, and not the account that handed it in.
    assert web.rows()[0]["user"] == json.loads(each.raw)["pusher"]["name"]
    # Where it came from is what the proxy says, not what the client says.
    log = web.machine.journal()
    assert f"webhook shop from 127.0.0.1: accepted: event {answer['event']}" in log
    assert "203.0.113.9" not in log
    large = "head -c 30000000 /dev/zero > /tmp/large"
    web.sh(large)
    big = web.run(
        *("curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out"),
        *("%{http_code}", "--data-binary", "@/tmp/large", f"https://{HOST}/in/shop"),
        code=None,
    )
    # Caddy ends the stream where nginx answers.
    assert big.out in {"nginx": ["413"], "caddy": ["413", "000"]}[proxy], big
    assert send(web, "", f"https://{HOST}/health") == (200, {"status": "ok"})
