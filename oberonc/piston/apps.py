"""`oberonc.piston` in INSTALLED_APPS: the system checks, and no tables."""

from django.apps import AppConfig


class PistonConfig(AppConfig):
    """Registers the system checks."""

    name = "oberonc.piston"
    label = "piston"

    def ready(self) -> None:
        """Load the checks, which register themselves."""
        from oberonc.piston import checks, urlchecks  # noqa: F401 - need the loaded apps
