"""A folder of images that grows round by round, and goes on where it was left.

``augment.jsonl`` holds the plan and then a line a round, each written after its images: whoever is
killed loses the round that was begun. Names of files are made of indices, never of text.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inversion_kit.errors import InputError, StoreError
from inversion_kit.storage import durable
from inversion_kit.storage.audit_folder import HOLDER, LOCK

LOG, TABLE, LABELS = "augment.jsonl", "metadata.jsonl", "labels.json"


class PictureFolder:
    """Images of labels, with what is known of each.

    Parameters
    ----------
    path
        The folder, which is there and holds nothing else, see `refuse_strangers`.
    plan
        What decides the images: a folder with another plan is refused.

    Raises
    ------
    InputError
        Images of another plan are there; the message says what differs.
    StoreError
        The folder cannot be written, or its log is damaged.

    Examples
    --------
    >>> import tempfile
    >>> folder = PictureFolder(Path(tempfile.mkdtemp()), {"n": 1})
    >>> folder.add("3", 0, [{"label_index": 3, "sample": 0, "kept": True}], np.zeros((1, 4, 4, 3)))
    >>> [row["file_name"] for row in PictureFolder(folder.path, {"n": 1}).rounds["3", 0]]
    ['000003/00000-000.png']
    """

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.path = path
        self.rounds: dict[tuple[str, int], list[dict[str, Any]]] = {}
        log = path / LOG
        if log.exists():
            self._read(log, plan)
            return
        durable.write_file(log, durable.dump(plan) + b"\n")

    def _read(self, log: Path, plan: dict[str, Any]) -> None:
        """What was done; a line that was cut when its writer was killed is dropped."""
        data = durable.read_file(log, 2**32)
        whole = data[: data.rfind(b"\n") + 1]
        first, *lines = whole.splitlines() or [b""]
        known = durable.parse(first, log)
        wanted = json.loads(durable.dump(plan))
        if known != wanted:
            differs = [
                k for k in wanted if not isinstance(known, dict) or known.get(k) != wanted[k]
            ]
            names = ", ".join(differs) or "its arguments"
            raise InputError(
                f"out={str(self.path)!r}: holds images made with other arguments ({names}); give "
                "the same ones to go on, or a new folder"
            )
        for line in lines:
            one = durable.parse(line, log)
            try:
                rows, key = one["rows"], (str(one["label"]), int(one["round"]))
                if all(self._sound(row) for row in rows if row["kept"]):
                    self.rounds[key] = rows
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(f"path={str(log)!r} is damaged: {line[:80]!r}") from error
        if len(whole) < len(data) or len(self.rounds) < len(lines):
            kept = [first, *(_line(key, rows) for key, rows in self.rounds.items())]
            durable.write_file(log, b"\n".join(kept) + b"\n")

    def _sound(self, row: dict[str, Any]) -> bool:
        """Whether an image is there as it was written."""
        try:
            data = durable.read_file(self.path / _file(row))
        except StoreError:
            return False
        return hashlib.sha256(data).hexdigest() == row["sha256"]

    def add(
        self, label: str, number: int, rows: Sequence[dict[str, Any]], images: np.ndarray
    ) -> None:
        """Write a round: the images of rows that are ``kept``, then the rows.

        Parameters
        ----------
        rows
            With ``label_index``, ``sample`` and ``kept``, and what else is known.
        images
            uint8 ``(n, y, x, 3)``, one a row.
        """
        made = []
        for row, image in zip(rows, images, strict=True):
            full = {**row, "file_name": "", "sha256": ""}
            if row["kept"]:
                full |= {"file_name": _file({**row, "round": number})}
                data = _png(image)
                full["sha256"] = hashlib.sha256(data).hexdigest()
                target = self.path / full["file_name"]
                durable.make_folder(target.parent)
                durable.write_file(target, data)
            made.append(full)
        try:
            with (self.path / LOG).open("ab") as log:
                log.write(_line((label, number), made) + b"\n")
                log.flush()
                os.fsync(log.fileno())
        except OSError as error:
            raise durable.trouble(self.path / LOG, error) from error
        self.rounds[label, number] = made

    def finish(self, labels: dict[str, str]) -> None:
        """Write the tables: ``metadata.jsonl`` a line an image, ``labels.json`` of the folders."""
        rows = [row for key in sorted(self.rounds, key=_order) for row in self.rounds[key]]
        kept = [{k: v for k, v in row.items() if k != "kept"} for row in rows if row["kept"]]
        lines = [durable.dump({"file_name": row["file_name"], **row}) + b"\n" for row in kept]
        durable.write_file(self.path / TABLE, b"".join(lines))
        text = json.dumps(labels, ensure_ascii=False, indent=1)
        durable.write_file(self.path / LABELS, text.encode())


def refuse_strangers(path: Path) -> None:
    """Refuse a folder that holds something, and no log of images.

    Raises
    ------
    InputError
        It does.
    """
    try:
        names = {one.name for one in path.iterdir()} if path.exists() else set()
    except OSError as error:
        raise durable.trouble(path, error, reading=True) from error
    if LOG not in names and names - {LOCK, HOLDER}:
        raise InputError(f"out={str(path)!r}: a folder with something else in it; give a new one")


def folder_name(index: int) -> str:
    """The folder of a label's images.

    Examples
    --------
    >>> folder_name(14)
    '000014'
    """
    return f"{index:06d}"


def _file(row: dict[str, Any]) -> str:
    """Where an image lies; of a row that was read back, its own name is checked to be that."""
    made = f"{folder_name(int(row['label_index']))}/"
    if "round" in row:
        return f"{made}{int(row['round']):05d}-{int(row['sample']):03d}.png"
    name = str(row["file_name"])
    stem = name.removeprefix(made).removesuffix(".png")
    if name != f"{made}{stem}.png" or not stem.replace("-", "").isdigit():
        raise ValueError(f"{name!r} is no name of an image here")
    return name


def _line(key: tuple[str, int], rows: Sequence[dict[str, Any]]) -> bytes:
    return durable.dump({"label": key[0], "round": key[1], "rows": list(rows)})


def _order(key: tuple[str, int]) -> tuple[int, int]:
    return int(key[0]), key[1]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.astype("u1")).save(buffer, "PNG")
    return buffer.getvalue()
