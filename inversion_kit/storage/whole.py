"""Groups of an audit's whole result in its folder, ``whole/<group>/``, see `schema.WHOLE`."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from inversion_kit import schema
from inversion_kit.errors import SchemaError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_folder import WHOLE


def write_whole(root: Path, group: str, data: xr.Dataset) -> None:
    """Keep a group with its attributes, in the place of an earlier one.

    Raises
    ------
    SchemaError
        It is not as the schema has it.
    StoreError
        It cannot be written.
    """
    if faults := schema.whole_faults(group, data):
        raise SchemaError("\n".join(faults))
    durable.discard(root / WHOLE / group)
    unit_files.write(root / WHOLE, group, {group: data}, data.attrs)


def drop_whole(root: Path, group: str) -> None:
    """Take away a group that no longer belongs to the others; nothing where there is none."""
    durable.discard(root / WHOLE / group)
