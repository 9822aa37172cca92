"""Measured cells: a small JSON file each, made once, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inversion_kit.storage import durable


class Cells:
    """A folder of measured cells.

    Parameters
    ----------
    folder
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        durable.make_folder(folder)

    def of(self, kind: str, what: dict[str, Any], make: Callable[[], Any]) -> Any:
        """The value of a cell: from its file, or made now and kept.

        Parameters
        ----------
        kind
            A word for the file's name.
        what
            All that the value depends on, as JSON has it.
        make
            Gives the value, as JSON has it.
        """
        digest = hashlib.sha256(durable.dump([kind, what])).hexdigest()[:20]
        path = self.folder / f"{kind}-{digest}.json"
        if path.is_file():
            return durable.parse(durable.read_file(path), path)["value"]
        value = make()
        durable.write_file(path, durable.dump({"what": what, "value": value}))
        return value
