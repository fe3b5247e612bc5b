"""Writes the payload into a file."""

from oberonc import BaseBroker


class Capture(BaseBroker):
    """Write the payload into a file."""

    class Settings:
        folder: str

    def handle(self, payload):
        import json
        import pathlib

        pathlib.Path(self.settings.folder, "payload.json").write_text(
            json.dumps(payload)
        )
        return "captured"
