"""One self-contained HTML page from a result: no network, opens anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import xarray as xr

from inversion_kit.errors import InputError, StoreError
from inversion_kit.reports import audit_report, run_report
from inversion_kit.reports.audit_table import numbers
from inversion_kit.schema import validate
from inversion_kit.storage.store import open as open_result


def report(
    result: xr.DataTree | str | os.PathLike[str], path: str | Path, *, max_mb: float = 25.0
) -> Path:
    """Write the report of a run or an audit as one HTML file and return its path.

    Parameters
    ----------
    result
        A valid run or audit, or where it is stored.
    path
        Ends in ``.html``; its folder exists. A file that is there is replaced.
    max_mb
        The most megabytes of the file. Where not everything fits, fewer and smaller pictures are
        shown, and the report says what was left out.

    Raises
    ------
    InputError
        ``path`` does not end in ``.html``, or ``max_mb`` is too small even for the least.
    StoreError
        The folder does not exist, or the file cannot be written.
    SchemaError
        ``result`` is not a valid result.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_run
    >>> report(synthetic_run(), Path(tempfile.mkdtemp()) / "sky.html").name
    'sky.html'
    """
    path = _checked(path, ".html")
    tree = result if isinstance(result, xr.DataTree) else open_result(result)
    page = to_html(tree, max_mb=max_mb)
    return _written(path, page)


def write_json(tree: xr.DataTree, path: str | Path) -> Path:
    """Write the numbers of a report, without its pictures, as a JSON file.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.testing import synthetic_audit
    >>> write_json(synthetic_audit(labels=2), Path(tempfile.mkdtemp()) / "audit.json").name
    'audit.json'
    """
    path = _checked(path, ".json")
    validate(tree)
    found = numbers(tree) if tree.attrs["kind"] == "audit" else run_report.numbers(tree)
    return _written(path, json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False))


def _checked(path: str | Path, ending: str) -> Path:
    path = Path(path)
    if path.suffix.lower() != ending:
        raise InputError(
            f"path={str(path)!r}: must end in {ending}, such as {path.stem + ending!r}"
        )
    if not path.parent.is_dir():
        raise StoreError(
            f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first"
        )
    return path


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"path={str(path)!r}: cannot be written ({error})") from error
    return path


def to_html(tree: xr.DataTree, *, max_mb: float = 25.0) -> str:
    """A result as the text of one HTML page.

    Images, shown in stored order and never picked by their score, are embedded: of a run as PNG of
    at most 192 x 192 pixels, or WebP where that is too much, of an audit as WebP sheets, within
    ``max_mb``. The numbers stand in the page as JSON too, in ``#inversion-kit-data``.

    Raises
    ------
    InputError
        ``max_mb`` is too small even for the least.
    SchemaError
        ``tree`` is not a valid result.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> to_html(synthetic_run(size=4))[:15]
    '<!doctype html>'
    """
    validate(tree)
    if tree.attrs["kind"] == "audit":
        return audit_report.to_html(tree, max_mb=max_mb)
    return run_report.to_html(tree, max_mb=max_mb)
