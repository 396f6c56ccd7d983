"""Measurements in a JSON file that is written after each, so that a run that was ended goes on where it was."""

import json
import logging
import os
from typing import Callable, Optional

from mxq.network.atomic import write_atomically

_log = logging.getLogger(__name__)


class Results:
    """Entries by key; each knows under which conditions it was measured, and is measured again under others.

    Args:
        path: the JSON file.
        about: what holds for all entries: machine, command, ...
        fresh: forget what is in the file.
    """

    def __init__(self, path: str, about: dict, *, fresh: bool = False):
        self.path = os.path.abspath(path)
        self.about = about
        self._entries = {}
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if os.path.exists(self.path) and not fresh:
            with open(self.path) as file:
                self._entries = json.load(file)["entries"]

    def get(self, key: str) -> Optional[dict]:
        entry = self._entries.get(key)
        return entry and entry["value"]

    def measured(self, key: str, conditions: dict, measure: Callable[[], dict]) -> dict:
        """The entry of `key`, measured now unless it was already under these conditions."""
        conditions = json.loads(json.dumps(conditions))  # as it comes back from the file
        entry = self._entries.get(key)
        if entry is not None and entry["conditions"] == conditions:
            _log.info("%s: measured before", key)
            return entry["value"]
        value = json.loads(json.dumps(measure()))
        self._entries[key] = {"conditions": conditions, "value": value}
        self.save()
        return value

    def save(self) -> None:
        write_atomically(self.path, self._write)

    def _write(self, path: str) -> None:
        with open(path, "w") as file:
            json.dump({**self.about, "entries": self._entries}, file, indent=1)
