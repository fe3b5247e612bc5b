"""What the installed hooks run: `main`, with the hook's name and arguments; the fast
way into oberonc.

A hook never fails a push and prints at most one line. It loads no GitPython, requests,
asyncio, click or sqlite3; what runs brokers is loaded when there are brokers to run.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from oberonc.errors import OberoncError
from oberonc.process import open_standard_streams
from oberonc.source.opening import PUSHED, open_repository
from oberonc.text import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oberonc.config import Config
    from oberonc.payload.schema import Payload
    from oberonc.source.collect import Source
    from oberonc.source.git import Git
    from oberonc.source.hooks import Call

#: Seconds the whole hand-off to the daemon may take in a hook.
HAND_OFF = 1.0


def main(argv: list[str] | None = None) -> None:
    """Run hook *argv[0]*; always ends with exit code 0."""
    if argv is None:
        gc.disable()  # what this process makes it has a use for until it ends
    open_standard_streams()
    name, *args = argv if argv is not None else sys.argv[1:] or [""]
    if name == "check":
        # `oberonc hook install` proves with this that the line it is about to write
        # works.
        from oberonc.delivery import handover as handover
        from oberonc.source import pushed as pushed

        os.write(1, b"ok\n")
        return
    say(_guarded(name, args))
    if argv is None:
        # nothing is left to be done, and Python would take its time to find that out
        os._exit(0)


def _guarded(name: str, args: list[str]) -> str:
    """The one line to print, whatever happens."""
    try:
        return run(name, args, _stdin(name))
    except OberoncError as error:
        return f"{one_line(str(error), 400)} (nothing was delivered; `oberonc doctor` may help)"
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where} (nothing was delivered; `oberonc doctor` may help)"
    except KeyboardInterrupt:
        # Only where a hook of an older version, which does not keep Ctrl-C from us,
        # runs this.
        return "interrupted; the next push or commit here delivers this one"
    except Exception as error:  # noqa: BLE001  a bug of ours is no reason to trouble a push
        why = one_line(str(error), 200)
        if isinstance(error, (ImportError, SyntaxError)) or (
            isinstance(error, AttributeError) and isinstance(error.obj, type(sys))
        ):
            # What was loaded is older than what is there now: the package is being
            # replaced.
            return (
                f"it cannot be loaded whole: is it being replaced? ({why}; "
                "the next push or commit here delivers this one)"
            )
        return f"unexpected {type(error).__name__}: {why}; please report it"


def _stdin(name: str) -> str:
    # Read to the end before anything else: git would see SIGPIPE.
    if name not in ("post-receive", "post-rewrite", PUSHED):
        return ""
    try:
        with open(0, "rb", closefd=False) as stream:
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def run(name: str, args: list[str], stdin: str) -> str:
    """Deliver what the hook tells of; returns the line for the pusher, empty where
    nothing is to be said.
    """
    began = time.monotonic()
    git = open_repository(name)
    if git is None:
        return ""
    settings = git.ask_config()  # git is at work while we load the rest
    from oberonc import config as configuration
    from oberonc.source import hooks

    if name == PUSHED:
        if os.environ.get("OBERONC") == "0":
            return ""
        from oberonc.source import pushed

        config = configuration.learn(keep=True)
        payload = pushed.collect(git, settings(), config, args, stdin)
        return _deliver(config, payload, git, began) if payload else ""
    config = configuration.learn(server_hook=name == "post-receive", keep=True)
    call = hooks.read_call(git, settings(), name, args, stdin)
    if call is None:
        return ""
    if os.environ.get("OBERONC") == "0":  # somebody's wish, for this once
        from oberonc.source import collect

        return collect.skip(call, config)
    # In daemon mode the daemon keeps the reasons, too, and its state folder is not ours
    # to write.
    if call.event == "push" and config.delivery == "here" and not config.fault:
        from oberonc.delivery import deliver

        seen = hooks.glance(call)
        if not _wanted(call, config, seen):
            hooks.pass_over(call)
            return deliver.nowhere(config, seen, git.git_dir)
    from oberonc.source import collect

    collected = collect.collect(call, config)
    if collected is None:
        return ""
    source, payload = collected
    try:
        line = _deliver(config, payload, git, began, bare=source.repo.bare)
    except BaseException:
        collect.take_back(source)
        raise
    return "; ".join(filter(None, (line, _head_warning(source))))


def _deliver(
    config: Config, payload: Payload, git: Git, began: float, *, bare: bool = False
) -> str:
    """Give *payload* to the daemon, the brokers or the spool; returns the line."""
    broken = f"the configuration is broken: {config.fault}" if config.fault else ""
    try:
        if config.delivery != "here":
            from oberonc.delivery import handover

            line = handover.deliver(config, payload, HAND_OFF).line
        elif config.fault:
            from oberonc.delivery import handover

            line = handover.keep(config, payload)
        else:
            from oberonc.broker.budget import BARE, WITH_WORK_TREE, Budget
            from oberonc.delivery import deliver

            usual = BARE if bare else WITH_WORK_TREE
            budget = Budget(config.hook_budget or usual, began)
            line = deliver.here(config, payload, budget, git.git_dir).line
    except OberoncError as error:
        if broken:
            raise type(error)(f"{broken}; {error}") from None  # which may be why
        raise
    return "; ".join(filter(None, (broken, line)))


def _wanted(call: Call, config: Config, seen: Payload) -> bool:
    """Whether a service could want the push, by what is known without its commits."""
    from oberonc.payload import filters

    services = config.services.values()
    if any(filters.possible(service, seen) for service in services):
        return True
    if not any(
        filters.possible(service._replace(refs=()), seen) for service in services
    ):
        return False
    # Only the names of its refs stand in the way, and they may be other names of what
    # is wanted.
    from oberonc.source import hooks

    named = seen | {"updates": hooks.by_branch(call, seen["updates"])}
    return any(filters.possible(service, named) for service in services)


def _head_warning(source: Source) -> str:
    repo = source.repo
    branch = next(
        (
            u["name"]
            for u in source.updates
            if u["kind"] == "branch" and not u["deleted"]
        ),
        None,
    )
    if (
        branch is None
        or not repo.bare
        or repo.default_exists
        or not repo.publishes(repo.default_ref)
    ):
        return ""
    # a branch's name is the pusher's, and somebody will paste this into a shell
    from shlex import quote

    return (
        f"HEAD names {repo.default_ref}, which does not exist, so no branch counts as the default;"
        f" on the server: git symbolic-ref HEAD {quote(f'refs/heads/{branch}')}"
    )


def say(line: str) -> None:
    """Print the one line, if there is one and somebody to read it."""
    if line:
        try:
            os.write(2, f"oberonc: {one_line(line, 1000)}\n".encode("utf-8", "replace"))
        except OSError:
            return


if __name__ == "__main__":
    main()
