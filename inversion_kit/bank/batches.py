"""Batches of images in a bank's folder, so that another process makes none of them again.

They lie beside a generator's other pictures and are not mixed with them: those were made in other
batches, and a result that rests on them would differ in its last bits from one without a bank.
"""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr
from torch import Tensor

from inversion_kit.bank.bank import key_of
from inversion_kit.errors import SchemaError, StoreError
from inversion_kit.generators.kept import Batch
from inversion_kit.generators.sample import to_bytes, to_levels
from inversion_kit.paths import folder_to_write
from inversion_kit.storage import durable, unit_files


class BatchBank:
    """Batches of `inversion_kit.generators.kept`, a folder each, never changed.

    Parameters
    ----------
    path
        Folder of banks, as of `inversion_kit.bank.bank.Bank`.

    Raises
    ------
    InputError
        The path is no folder of this machine.
    StoreError
        Nothing can be written there.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.generators.convert import as_generator
    >>> from inversion_kit.generators.kept import kept
    >>> bank = BatchBank(tempfile.mkdtemp())
    >>> images = kept(as_generator("pocket"), ["a stop sign"], seeds=[3], bank=bank)
    >>> len(list(bank.path.glob("*/*")))
    1
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = folder_to_write(path, argument="bank")

    def read(self, batch: Batch) -> Tensor | None:
        """The images of a batch.

        Parameters
        ----------
        batch
            Which.

        Returns
        -------
        Tensor or None
            RGB, uint8 ``(n, 3, y, x)``, each file checked against its sha256; None where they do
            not lie there, or are damaged, which is dropped.
        """
        place = self._place(batch)
        if not place.is_dir():
            return None
        try:
            return to_levels(unit_files.read(place)[0]["bank"]["image"].values)
        except (StoreError, SchemaError, KeyError):
            durable.discard(place)
            return None

    def write(self, batch: Batch, images: Tensor) -> None:
        """Keep the images of a batch, unless they lie there already.

        Parameters
        ----------
        batch
            Which.
        images
            RGB, uint8 ``(n, 3, y, x)``.

        Raises
        ------
        StoreError
            The folder cannot be written.
        """
        place = self._place(batch)
        if place.is_dir():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        data = xr.Dataset({"image": (("sample", "y", "x", "channel"), to_bytes(images))})
        listed = [list(pair) for pair in zip(batch.prompts, batch.seeds, strict=True)]
        unit_files.write(place.parent, place.name, {"bank": data}, {"images": listed})

    def _place(self, batch: Batch) -> Path:
        own = key_of(batch.generator, batch.steps)[:16]
        return self.path / f"{own}-batches" / batch.key[:32]
