"""`oberonc web`: the HTTP face in the foreground."""

import click

from oberonc.commands import Session, example, pass_session


@click.command(
    epilog=example("oberonc web", "oberonc --config /etc/oberonc/config.toml web")
)
@pass_session
def command(session: Session) -> None:
    """Run the HTTP face in the foreground, until SIGTERM or Ctrl-C.

    It takes the webhooks of forges at `/in/NAME`, as `[webhooks.NAME]` of the
    configuration says, and gives them to the daemon, or to the spool where none
    answers. Its page at `/` shows people how it is, and `/api/` tells programs. `[web]`
    says where it listens; by default on 127.0.0.1:8649.

    Exit codes: 0 stopped; 78 the configuration cannot be used.
    """
    try:
        from oberonc.web.server import run
    except ImportError as error:
        from oberonc import paths
        from oberonc.errors import ConfigError

        raise ConfigError(
            f"`oberonc web` needs {error.name}: {paths.adding('web')}"
        ) from None
    run(session.config_path)
