"""Mail a push to people and lists, as git-multimail does."""

import hashlib
import re
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from shutil import which
from typing import Any, Protocol

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event
from oberonc.kit.answers import CREDENTIALS_AFTER
from oberonc.kit.markup import MARKUPS, shown
from oberonc.kit.progress import Progress
from oberonc.kit.summary import (
    NAME,
    compare_url,
    headline,
    render,
    subject,
    summary,
    who,
)
from oberonc.kit.template import Template
from oberonc.payload.digest import beside, moves
from oberonc.text import one_line

#: Hosts to which a password may go in clear.
_HERE = ("localhost", "127.0.0.1", "::1")
KINDS = ("combined", "summary", "commits")
#: Characters of a line of a body, and bytes of a body.
LINE, BODY = 500, 512 * 1024
#: An address that stands for itself in a header: no list, no comment, no quotes.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,190}")


class Mail(BaseBroker):
    """Mails a push: a summary, and a mail for each commit."""

    timeout = 300

    class Settings:
        sender: str  # the address it comes from, "Git <git@example.org>"
        to: list[str] = []  # noqa: RUF012  who gets everything
        to_refs: list[str] = []  # noqa: RUF012  the summaries, in place of `to`
        to_tags: list[str] = []  # noqa: RUF012  mails of tags, in place of `to`
        to_commits: list[str] = []  # noqa: RUF012  mails of commits, in place of `to`
        # smtp://host:port (STARTTLS where the server has it), smtps://host:port
        server: str = "smtp://localhost"
        user: str = ""
        password: Secret | None = None
        sendmail: list[str] = []  # noqa: RUF012  a program, in place of the server
        # combined: one mail for one commit, else summary and commits; or one of these
        kind: str = "combined"
        subject: str = "[${repository.name}]"  # what subjects begin with
        most: int = 500  # a push of more commits is a summary only
        reply_to: str = ""  # instead of who pushed, and who wrote the commit
        list_id: str = ""  # of a mailing list, "shop.example.org"
        approved: Secret | None = None  # the password of a moderated list
        ca: str = ""

    def verify(self) -> None:
        given = self.settings
        if given.kind not in KINDS:
            raise ValueError(f"setting 'kind' must be one of {', '.join(KINDS)}")
        if not (given.to or given.to_refs or given.to_tags or given.to_commits):
            raise ValueError("nobody gets the mails: set 'to'")
        _server(given.server)
        if Template(given.subject).per_commit:
            raise ValueError(
                "setting 'subject' begins mails of refs, too: no ${commit...}"
            )
        lists = (given.to, given.to_refs, given.to_tags, given.to_commits)
        for text in [given.sender, *(each for some in lists for each in some)]:
            if not _ADDRESS.fullmatch(parseaddr(text)[1]):
                raise ValueError(f"'{one_line(text, 60)}' is no mail address")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [
            f"mail {mail['To']}: {mail['Subject']}" for mail in self._mails(payload)
        ]

    def check(self) -> list[Check]:
        if self.settings.sendmail:
            program = self.settings.sendmail[0]
            mend = "give its whole path, and let this account run it"
            return [Check(which(program) is not None, f"{program} can be run", mend)]
        with self._post() as post:
            return [Check(True, f"{post.where} takes mail")]

    def handle(self, payload: dict[str, Any]) -> str:
        mails = list(self._mails(payload))
        progress = Progress(self.state, payload["delivery_id"])
        refused: set[str] = set()
        again = list(progress.later.items())  # of an earlier try
        if again or progress.done < len(mails):
            with self._post() as post:
                for mail in mails[progress.done :]:
                    self._need_time(progress.done, len(mails))
                    never, later = post.send(mail)
                    refused |= never
                    progress.step(later)
                for number, to in again:
                    self._need_time(progress.done, len(mails))
                    never, later = post.send(mails[number], to)
                    refused |= never
                    progress.again(number, later)
        said = f"sent {len(mails)} mails" if len(mails) != 1 else "sent 1 mail"
        if refused:
            said += f"; refused: {', '.join(sorted(refused))}"
        if progress.later:
            waiting = sorted(
                {each for some in progress.later.values() for each in some}
            )
            raise Retry(f"{said}; refused for now: {', '.join(waiting)}")
        progress.end()
        return said

    def _need_time(self, done: int, mails: int) -> None:
        if self.remaining() < 5:
            raise Retry(f"{done} of {mails} sent", progress=True)

    def _mails(self, payload: dict[str, Any]) -> Iterator[EmailMessage]:
        """The mails in the order in which they are sent: of each ref a summary, then
        its commits as answers to it.
        """
        given = self.settings
        rest = beside(payload) if payload["updates"] else payload
        if rest:
            mail = self._mail(rest, given.to_refs or given.to, headline(rest), "")
            mail.set_content(_body(_told(rest)), cte="8bit")
            yield mail
        for update in moves(payload):
            commits = [c for c in payload["commits"] if c["branch"] == update["name"]]
            if update["kind"] != "branch":
                commits = []
            only = given.kind == "combined" and len(commits) == 1
            top = self._summary(payload, update, commits, only)
            if given.kind != "commits" or not commits:
                yield top
            if only or given.kind == "summary" or len(commits) > given.most:
                continue
            for number, commit in enumerate(commits, 1):
                mail = self._commit(payload, update, commit, (number, len(commits)))
                if given.kind != "commits":
                    mail["In-Reply-To"] = mail["References"] = str(top["Message-ID"])
                yield mail

    def _summary(
        self,
        payload: dict[str, Any],
        update: dict[str, Any],
        commits: list[dict[str, Any]],
        only: bool,
    ) -> EmailMessage:
        """The mail of a ref that moved; with *only*, of its one commit as well."""
        given = self.settings
        to = (update["kind"] == "tag" and given.to_tags) or given.to_refs or given.to
        kind = {"other": "ref"}.get(update["kind"], update["kind"])
        what = f"{kind} {one_line(update['name'], NAME)}"
        old, new = update["old"][:10], update["new"][:10]
        if update["deleted"]:
            said = f"{what} deleted (was {old})"
        elif update["created"]:
            said = f"{what} created (now {new})"
        elif only:
            said = f"{what} updated: {subject(commits[0]['message'])}"
        else:
            said = f"{what} updated ({old} -> {new})"
        key = update["ref"]
        if update["deleted"] and "digest" in payload:
            key += " deleted"  # it may have moved before
        mail = self._mail(payload, to, said, key, _pusher(payload))
        mail["X-Git-Reftype"] = kind
        mail["X-Git-Oldrev"], mail["X-Git-Newrev"] = update["old"], update["new"]
        mail["X-Git-NotificationType"] = (
            "ref_changed_plus_diff" if only else "ref_changed"
        )
        lines = [f"{who(payload)} changed {what} of {_name(payload)}.", ""]
        lines += [f"       old {update['old']}", f"       new {update['new']}"]
        if url := compare_url(payload, update):
            lines.append(f"       see {url}")
        if update["forced"]:
            lines += ["", "This update rewrote what was there before."]
        lines += ["", *(f"  {c['node'][:10]} {subject(c['message'])}" for c in commits)]
        if update["publish"] and payload["merged"]:
            lines += ["", "It merges:"]
            merged = payload["merged"]
            lines += [f"  {c['node'][:10]} {subject(c['message'])}" for c in merged]
        if payload["truncated"]:
            lines += ["", "The push was larger than the limits; some of it is missing."]
        if only:
            mail["X-Git-Rev"] = commits[0]["raw_node"]
            lines += ["", *_about(commits[0])]
        mail.set_content(_body(lines), cte="8bit")
        return mail

    def _commit(
        self,
        payload: dict[str, Any],
        update: dict[str, Any],
        commit: dict[str, Any],
        place: tuple[int, int],
    ) -> EmailMessage:
        number = f"{place[0]:0{len(str(place[1]))}}/{place[1]}"
        to = self.settings.to_commits or self.settings.to
        said = f"{number}: {subject(commit['message'])}"
        key = f"{update['ref']} {commit['raw_node']}"
        mail = self._mail(payload, to, said, key, _address(commit["raw_author"]))
        mail["X-Git-Refname"] = one_line(update["ref"], 200)
        mail["X-Git-Rev"] = commit["raw_node"]
        mail["X-Git-NotificationType"] = "diff"
        mail.set_content(_body(_about(commit)), cte="8bit")
        return mail

    def _mail(
        self,
        payload: dict[str, Any],
        to: list[str],
        said: str,
        key: str,
        answer_to: Address | None = None,
    ) -> EmailMessage:
        """A mail without a body; *key* tells it from the others of its push."""
        given, mail = self.settings, EmailMessage(SMTP)
        when = datetime.fromisoformat(payload["time"])
        begin = Template(given.subject).fill(payload)
        sender = _address(given.sender)
        # A plan has no delivery yet.
        once = payload.get("delivery_id", payload["id"])
        known = hashlib.sha256(f"{once} {key}".encode()).hexdigest()
        mail["Date"] = format_datetime(when)
        mail["From"] = sender
        mail["To"] = [each for each in map(_address, to) if each]
        mail["Subject"] = one_line(f"{begin} {said}", 200)
        # The same on every try: a list or reader drops a second one.
        mail["Message-ID"] = (
            f"<{known[:40]}@{sender.domain if sender else 'localhost'}>"
        )
        if answer := _address(given.reply_to) or answer_to:
            mail["Reply-To"] = answer
        mail["X-Git-Repo"] = _name(payload)
        mail["Auto-Submitted"] = "auto-generated"
        if given.list_id:
            mail["List-Id"] = f"<{one_line(given.list_id, 100)}>"
        if given.approved:
            mail["Approved"] = str(given.approved)
        return mail

    @contextmanager
    def _post(self) -> Iterator["Post"]:
        """What takes mails; raises Retry or Reject for what it refuses."""
        given = self.settings
        if given.sendmail:
            yield Program(given.sendmail, self.remaining)
            return
        try:
            with _connected(given, min(60.0, max(1.0, self.remaining() - 1))) as server:
                yield Server(server, given.server)
        except smtplib.SMTPAuthenticationError as error:
            said = _said(error)
            raise Retry(
                f"CREDENTIALS refused: {said}", after=CREDENTIALS_AFTER
            ) from None
        except smtplib.SMTPResponseException as error:
            kind = Reject if 500 <= error.smtp_code < 600 else Retry
            raise kind(_said(error)) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Retry(f"{given.server}: {one_line(str(error), 200)}") from None


#: Who is refused for good, and who for now.
Refusals = tuple[set[str], set[str]]


class Post(Protocol):
    """What takes mails."""

    where: str

    def send(self, mail: EmailMessage, to: list[str] | None = None) -> Refusals:
        """Hand *mail* over, for *to* alone where that is given; who is refused, where
        others are not.
        """


class Server:
    """An SMTP server."""

    def __init__(self, server: smtplib.SMTP, where: str) -> None:
        self._server, self.where = server, where

    def send(self, mail: EmailMessage, to: list[str] | None = None) -> Refusals:
        try:
            refused = self._server.send_message(mail, to_addrs=to)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
            if to is None:
                # one that may get it later is reason enough to come again
                code = min(code for code, _ in refused.values())
                kind = Reject if code >= 500 else Retry
                raise kind(f"nobody may get it: {one_line(str(error), 200)}") from None
        never = {each for each, (code, _) in refused.items() if code >= 500}
        return never, set(refused) - never


class Program:
    """A sendmail."""

    def __init__(self, command: list[str], remaining: Any) -> None:
        self._command, self._remaining = command, remaining
        self.where = command[0]

    def send(self, mail: EmailMessage, to: list[str] | None = None) -> Refusals:
        # -t would read the recipients again; they are said, so a header adds nobody.
        to = to or [each.addr_spec for each in mail["To"].addresses]
        try:
            done = subprocess.run(
                [*self._command, "--", *to],
                input=mail.as_bytes(policy=SMTP.clone(linesep="\n")),
                capture_output=True,
                timeout=max(1.0, self._remaining() - 2),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Retry(f"{self.where}: {one_line(str(error), 200)}") from None
        if done.returncode:
            said = one_line(done.stderr.decode(errors="replace"), 200)
            raise Retry(f"{self.where} exited with {done.returncode}: {said}")
        return set(), set()


@contextmanager
def _connected(given: Any, limit: float) -> Iterator[smtplib.SMTP]:
    trusted = ssl.create_default_context(cafile=given.ca or None)
    secure, host, port = _server(given.server)
    if secure:
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, timeout=limit, context=trusted
        )
    else:
        server = smtplib.SMTP(host, port, timeout=limit)
    with server:
        if not secure:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=trusted)
            elif given.password and host not in _HERE:
                raise Reject("the server has no STARTTLS: no password is sent in clear")
        if given.password:
            server.login(given.user, given.password)
        yield server


def _server(url: str) -> tuple[bool, str, int]:
    """(whether by TLS from the start, host, port) of a mail server."""
    secure, host, port = event.address(url, {"smtp": 0, "smtps": 465}, "server")
    return secure, host, port or (25 if host in _HERE else 587)


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return f"{error.smtp_code} {one_line(said, 200)}"


def _address(text: str) -> Address | None:
    """The one address in `Name <mail>`; None for what is more, or none. A name may say
    anything, so nothing of it is read as addresses.
    """
    name, _, mail = text.rpartition("<")
    mail = mail.strip().removesuffix(">") if name or "<" in text else text.strip()
    if not _ADDRESS.fullmatch(mail) or ".." in mail or mail.endswith("."):
        return None
    user, _, domain = mail.partition("@")
    if user.startswith(".") or user.endswith("."):
        return None
    return Address(one_line(name.strip(), NAME), user, domain)


def _pusher(payload: dict[str, Any]) -> Address | None:
    """Who pushed has no address; the newest commit of theirs may."""
    commits = payload["commits"]
    return _address(commits[-1]["committer"]) if commits else None


def _name(payload: dict[str, Any]) -> str:
    return one_line(payload["repository"]["full_name"], NAME)


def _told(payload: dict[str, Any]) -> list[str]:
    return render(summary(payload), MARKUPS["plain"]).split("\n")


def _about(commit: dict[str, Any]) -> list[str]:
    lines = [
        f"commit {commit['raw_node']}",
        f"Author: {one_line(commit['raw_author'])}",
    ]
    if commit["committer"] != commit["raw_author"]:
        lines.append(f"Commit: {one_line(commit['committer'])}")
    lines.append(f"Date:   {commit['utctimestamp']}")
    if commit.get("url"):
        lines.append(f"See:    {one_line(commit['url'])}")
    message = commit["message"].strip("\r\n").splitlines()
    lines += ["", *(f"    {line}" for line in message), "", "---"]
    marks = {"added": "A", "removed": "D", "modified": "M"}
    lines += [f" {marks[f['type']]} {one_line(f['file'])}" for f in commit["files"]]
    if commit.get("diff"):
        lines += ["", *commit["diff"].removesuffix("\n").split("\n")]
    if commit.get("diff_truncated"):
        lines += ["", "The diff was larger than the limits; some of it is missing."]
    return lines


def _body(lines: list[str]) -> str:
    """*lines* without controls, each cut to `LINE`, all of them to `BODY`."""
    cut = (line if len(line) <= LINE else line[: LINE - 5] + "[...]" for line in lines)
    text = shown("\n".join(cut)) + "\n"
    if len(text) <= BODY:
        return text
    return text[:BODY].rpartition("\n")[0] + "\n[...]\n"
