"""What is sent to the server that a mirror is fetched from, and what the server may do."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import accounts
from oberonc.mirror import mirrors
from oberonc.mirror.fetching import USUAL, Bounds, Fetcher, NotFetched, size
from oberonc.mirror.origins import Origin
from tests.mirror.conftest import Mirrored
from tests.support.children import child
from tests.support.eventually import eventually
from tests.support.forge import Forge
from tests.support.ports import free_port
from tests.support.repo import Repo

TOKEN = "a sesame of our own"


def fetch(shop: Mirrored, origin: Origin, bounds: Bounds = USUAL) -> None:
    mirror = mirrors.mirror(shop.state, origin, "web/shop")
    fetcher = Fetcher(origin, mirror.address, bounds)
    head = fetcher.head()
    if not mirror.exists:
        mirror.make(head)
    fetcher.into(mirror.git_dir)


def test_the_token_goes_to_the_server_that_asks_and_is_written_nowhere(
    shop: Mirrored,
) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    shop.forge.password = TOKEN
    shop.origin = shop.origin._replace(token=TOKEN)
    assert shop.turn(all_moves=True).error == ""
    assert shop.forge.asked[0][1] == ""  # only once it is asked for
    assert all(said.startswith("Basic ") for _, said in shop.forge.asked[1:3])
    files = [path for path in shop.state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"sesame" in path.read_bytes()]


def test_the_token_is_in_no_argument_of_any_process(
    shop: Mirrored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    shop.forge.password = TOKEN
    folder = tmp_path / "bin"
    folder.mkdir()
    git = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True)
    (folder / "git").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\nexec {git.stdout.strip()} "$@"\n'
    )
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    fetch(shop, shop.origin._replace(token=TOKEN))
    said = (tmp_path / "argv").read_text()
    assert "fetch --quiet" in said
    assert "sesame" not in said


@pytest.mark.parametrize("token", ["", "wrong"])
def test_wrong_credentials_are_said_plainly_and_without_them(
    shop: Mirrored, token: str
) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    shop.forge.password = TOKEN
    with pytest.raises(NotFetched, match=r"webhooks\.shop\.token right") as raised:
        fetch(shop, shop.origin._replace(token=token))
    assert "wrong" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_redirect_to_another_host_is_not_followed_and_gets_no_token(
    shop: Mirrored, tmp_path: Path
) -> None:
    thief = Forge(tmp_path / "thief")
    try:
        for kind in (
            thief.address,
            "file:///etc",
            thief.address.replace("http", "git"),
        ):
            shop.forge.elsewhere = kind
            with pytest.raises(NotFetched, match="302"):
                fetch(shop, shop.origin._replace(token=TOKEN))
        shop.forge.elsewhere, shop.forge.password = "", TOKEN
        shop.clone.commit("one")
        assert thief.asked == []
    finally:
        thief.close()


def test_what_the_account_has_configured_for_git_adds_no_credentials(
    shop: Mirrored, home: Path, tmp_path: Path
) -> None:
    shop.forge.password = TOKEN
    helper = f"!touch {tmp_path}/asked; echo username=x; echo password={TOKEN}"
    with (home / ".gitconfig").open("a") as file:
        file.write(f'[credential]\n\thelper = "{helper}"\n')
        file.write(f'[core]\n\thooksPath = "{tmp_path}"\n')
    hook = tmp_path / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    with pytest.raises(NotFetched):
        fetch(shop, shop.origin)
    fetch(shop, shop.origin._replace(token=TOKEN))
    assert not (tmp_path / "asked").exists()
    assert not (tmp_path / "ran").exists()


def test_what_is_too_large_is_not_kept(shop: Mirrored) -> None:
    (shop.clone.path / "noise").write_bytes(os.urandom(3 << 20))
    shop.clone.sh("git add noise && git commit -qm noise")
    shop.clone.push("main")
    with pytest.raises(NotFetched):
        fetch(shop, shop.origin, Bounds(60, 1 << 20))
    there = [path for path in shop.mirror.git_dir.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in there) < 1 << 20
    fetch(shop, shop.origin, Bounds(60, 1 << 23))


def test_a_mirror_stays_within_its_bounds_however_often_it_is_fetched(
    shop: Mirrored,
) -> None:
    bounds = Bounds(60, 5 << 20)
    shop.clone.commit("one")
    shop.clone.push("main")
    fetch(shop, shop.origin, bounds)
    said = []
    for n in range(4):
        # What was forced away is kept for a while.
        (shop.clone.path / "noise").write_bytes(os.urandom(2 << 20))
        shop.clone.sh(f"git add noise && git commit -q --amend -m {n}")
        shop.clone.sh("git push -q --force origin main")
        try:
            fetch(shop, shop.origin, bounds)
        except NotFetched as failure:
            said.append(str(failure))
    assert size(shop.mirror.git_dir) < 5 << 20
    assert said
    bounds = Bounds(60, 2 << 20)
    with pytest.raises(NotFetched, match="has 2 MiB, and may not have more: take"):
        fetch(shop, shop.origin, bounds)


def test_more_branches_and_tags_than_bounds_allow_are_not_read(shop: Mirrored) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    bounds = Bounds(60, refs=50)
    fetch(shop, shop.origin, bounds)
    names = "".join(f"create refs/heads/b{n} HEAD\n" for n in range(300))
    shop.clone.sh(f"printf '{names}' | git update-ref --stdin")
    shop.clone.sh("git push -q --all origin")
    with pytest.raises(NotFetched, match="has more than 50 branches and tags"):
        fetch(shop, shop.origin, bounds)
    there = shop.mirror.git_dir / "refs" / "heads"
    assert len(list(there.iterdir())) <= 1
    # Nor where it says fewer first.
    fetcher = Fetcher(shop.origin, shop.mirror.address, bounds)
    with pytest.raises(NotFetched, match="has more than 50 branches and tags"):
        fetcher.into(shop.mirror.git_dir)
    shop.clone.sh("git push -q --prune origin 'refs/heads/main'")
    shop.clone.sh("git push -q origin $(seq -f ':b%g' 0 299)")
    fetch(shop, shop.origin, bounds)


def test_a_server_that_would_fill_the_memory_does_not(shop: Mirrored) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    with pytest.raises(NotFetched):
        fetch(shop, shop.origin, Bounds(60, memory=64 << 10))
    fetch(shop, shop.origin)


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that never ends; the file that its process id is written to."""
    program, file = tmp_path / "ssh", tmp_path / "pid"
    program.write_text(
        f"#!/bin/sh\necho $$ > {file}.new\nmv {file}.new {file}\nexec sleep 600\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return file


BY_SSH = Origin("shop", "ssh://git@localhost/{repository}", (), known_hosts="/x")


def test_what_takes_too_long_is_ended(shop: Mirrored, stuck: Path) -> None:
    with pytest.raises(NotFetched, match=r"not done in 0\.7 s"):
        fetch(shop, BY_SSH, Bounds(0.7, 1 << 20))


def test_a_fetch_that_is_told_to_stop_ends_all_that_it_started(
    shop: Mirrored, stuck: Path
) -> None:
    address = BY_SSH.address("web/shop")
    with pytest.raises(NotFetched, match="told to stop"):
        Fetcher(BY_SSH, address, stopped=stuck.exists).head()
    process = Path("/proc", stuck.read_text().strip())
    # What nobody has waited for yet has no arguments any more.
    eventually(lambda: not process.exists() or not (process / "cmdline").read_bytes())


def test_a_lock_that_nobody_can_hold_any_more_is_taken_away(shop: Mirrored) -> None:
    shop.clone.commit("one")
    shop.clone.push("main")
    fetch(shop, shop.origin)
    shop.clone.commit("two")
    shop.clone.push("main")
    lock = shop.mirror.git_dir / "refs" / "heads" / "main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    for _ in range(2):  # it may be held still
        with pytest.raises(NotFetched):
            fetch(shop, shop.origin)
    os.utime(lock, (0, 0))
    with pytest.raises(NotFetched):
        fetch(shop, shop.origin)
    fetch(shop, shop.origin)


def test_a_repository_of_sha256_and_an_empty_one_have_a_mirror_too(
    shop: Mirrored, tmp_path: Path
) -> None:
    assert shop.turn(all_moves=True) == ([], "", False)
    new = shop.clone.commit("first")
    shop.clone.push("main")
    shop.push("", new)
    assert shop.turn().error == ""
    assert [len(each["commits"]) for each in shop.told()] == [1]
    bare = shop.forge.folder / "web" / "long.git"
    subprocess.run(
        ["git", "init", "-q", "--bare", "--object-format=sha256", str(bare)], check=True
    )
    work = Repo.init(tmp_path / "long", False, "--object-format=sha256")
    work.commit("one")
    work.git("push", "-q", str(bare), "main")
    mirror = mirrors.mirror(shop.state, shop.origin, "web/long")
    fetcher = Fetcher(shop.origin, mirror.address)
    mirror.make(fetcher.head())
    fetcher.into(mirror.git_dir)
    assert len(mirror.described((), "").refs["refs/heads/main"].oid) == 64


@pytest.mark.parametrize("first", [[], ["--initial-branch=trunk"]])
def test_an_empty_repository_turns_out_to_be_of_sha256(
    shop: Mirrored, home: Path, first: list[str]
) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write("[init]\n\tdefaultRefFormat = reftable\n")
    bare, kind = shop.forge.folder / "web" / "shop.git", "--object-format=sha256"
    shutil.rmtree(bare)
    subprocess.run(["git", "init", "-q", "--bare", kind, *first, str(bare)], check=True)
    assert shop.turn(all_moves=True) == ([], "", False)
    shutil.rmtree(shop.clone.path)
    Repo.init(shop.clone.path, False, kind)
    oid = shop.clone.commit("one")
    shop.clone.git("push", "-q", str(bare), "main")
    shop.push("", oid)
    assert shop.turn().error == ""
    assert [len(each["commits"]) for each in shop.told()] == [1]
    assert (shop.mirror.git_dir / "refs" / "heads").is_dir()
    assert sorted(shop.mirror.git_dir.parent.glob("*.tmp")) == []


def test_of_which_kind_ids_are_is_told_by_no_id_that_was_cut(
    shop: Mirrored, tmp_path: Path
) -> None:
    bare = shop.forge.folder / "web" / "many.git"
    work = Repo.init(tmp_path / "many", False, "--object-format=sha256")
    oid = work.commit("one")
    for cut in range(3):  # somewhere else in a line each time
        name = "refs/heads/" + "x" * (cut * 30 + 1)
        lines = f"seq -f 'create {name}%04.0f {oid}' 1000"
        work.sh(f"{lines} | git update-ref --stdin")
        shutil.rmtree(bare, ignore_errors=True)
        subprocess.run(
            ["git", "clone", "-q", "--bare", str(work.path), str(bare)], check=True
        )
        address = mirrors.mirror(shop.state, shop.origin, "web/many").address
        assert Fetcher(shop.origin, address).head().digits == 64


def test_objects_that_are_broken_are_refused(shop: Mirrored) -> None:
    shop.clone.commit("one")
    shop.clone.sh(
        "printf 'tree %s\\nauthor x <x> bad\\ncommitter x <x> 1 +0000\\n\\nbad\\n'"
        " $(git rev-parse HEAD^{tree})"
        " | git hash-object --literally -t commit -w --stdin > ../bad"
    )
    bad = (shop.clone.path.parent / "bad").read_text().strip()
    (shop.clone.path / ".git" / "refs" / "heads" / "bad").write_text(bad + "\n")
    shop.clone.push("bad")
    with pytest.raises(NotFetched):
        fetch(shop, shop.origin)


@pytest.fixture
def ssh(shop: Mirrored, short_dir: Path) -> Iterator[Origin]:
    """The forge by way of a real sshd, with a key; `known_hosts` has the host's."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    user = accounts.name(os.geteuid())
    if sshd is None or user is None:
        pytest.skip("there is no sshd, or nobody's name to log in with")
    for name in ("host", "user", "other"):
        words = ["-q", "-t", "ed25519", "-N", "", "-f", str(short_dir / name)]
        subprocess.run(["ssh-keygen", *words], check=True)
    port = free_port()
    key = (short_dir / "host.pub").read_text()
    (short_dir / "known").write_text(f"[127.0.0.1]:{port} {key}")
    options = {
        "HostKey": short_dir / "host",
        "AuthorizedKeysFile": short_dir / "user.pub",
        "ListenAddress": f"127.0.0.1:{port}",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    empty = Path("/run/sshd")  # where root's sshd locks up what it does not trust
    made = os.geteuid() == 0 and not empty.exists()
    if made:
        empty.mkdir()
    with child([sshd, "-D", "-e", "-f", "/dev/null", *words], stderr=-1) as server:
        assert server.stderr
        assert b"listening" in server.stderr.readline()
        yield Origin(
            "shop",
            f"ssh://{user}@127.0.0.1:{port}{shop.forge.folder}/{{repository}}.git",
            ("web/*",),
            ssh_key=str(short_dir / "user"),
            known_hosts=str(short_dir / "known"),
        )
    if made:
        empty.rmdir()


def test_a_mirror_is_fetched_by_ssh_from_the_host_that_has_the_known_key(
    shop: Mirrored, ssh: Origin, tmp_path: Path
) -> None:
    new = shop.clone.commit("one")
    shop.clone.push("main")
    fetch(shop, ssh)
    made = mirrors.mirror(shop.state, ssh, "web/shop")
    assert made.described((), "").refs["refs/heads/main"].oid == new
    with pytest.raises(NotFetched, match="Permission denied"):
        fetch(shop, ssh._replace(ssh_key=ssh.ssh_key.replace("user", "other")))
    nobody = tmp_path / "nobody"
    nobody.write_text("")
    with pytest.raises(NotFetched, match="host key is known"):
        fetch(shop, ssh._replace(known_hosts=str(nobody)))
    assert nobody.read_text() == ""
