"""The report and its numbers as files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.held import held
from inversion_kit.errors import InputError, StoreError
from inversion_kit.paths import file_to_write
from inversion_kit.reports.compare import compared_html
from inversion_kit.reports.evaluate import table_html
from inversion_kit.reports.improve import HasRepair, augmented_html, is_augmented, repaired_html
from inversion_kit.reports.page import to_html
from inversion_kit.storage.comparison import is_comparison
from inversion_kit.storage.store import open as open_result


def report(
    result: xr.DataTree | xr.Dataset | HasRepair | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    max_mb: float = 25.0,
) -> Path:
    """Write the report of a result as one HTML file and return its path.

    Parameters
    ----------
    result
        A result, or what `inversion_kit.compare` gave, or where it is stored; or what
        `inversion_kit.evaluate`, `inversion_kit.coverage`, `inversion_kit.augment` or
        `inversion_kit.repair` gave. The map of an audit's
        images is made once and kept in its folder, see `inversion_kit.analysis.keep_projection`.
    path
        Ends in ``.html``; its folder exists. A file that is there is replaced.
    max_mb
        The most megabytes of the file. Where not everything fits, fewer and smaller pictures are
        shown, and the report says what was left out.

    Returns
    -------
    Path
        The file.

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
    >>> from inversion_kit.testing import synthetic
    >>> report(synthetic(), Path(tempfile.mkdtemp()) / "sky.html").name
    'sky.html'
    """
    if isinstance(result, xr.Dataset):
        html = augmented_html if is_augmented(result) else table_html
        return _written(file_to_write(path, ".html"), html(result, max_mb=max_mb))
    if isinstance(result, HasRepair):
        return _written(file_to_write(path, ".html"), repaired_html(result, max_mb=max_mb))
    return write_report(result, path, max_mb=max_mb)


def write_report(
    result: xr.DataTree | str | os.PathLike[str],
    path: str | os.PathLike[str],
    data: dict[str, Any] | None = None,
    *,
    read: xr.Dataset | None = None,
    max_mb: float = 25.0,
) -> Path:
    """Write the report of a result whose numbers are there already.

    Parameters
    ----------
    result, path, max_mb
        As for `report`, which see for what is raised.
    data
        What `inversion_kit.analysis.numbers` gave, with ``pictures=True`` where the page shall
        say what is measured in them; computed so where not given.
    read
        What `inversion_kit.analysis.reads` gave; read where not given.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit import analysis
    >>> from inversion_kit.testing import synthetic
    >>> tree = synthetic()
    >>> path = Path(tempfile.mkdtemp()) / "sky.html"
    >>> write_report(tree, path, analysis.numbers(tree)).name
    'sky.html'
    """
    target = file_to_write(path, ".html")
    tree = result if isinstance(result, xr.DataTree) else open_result(result)
    if is_comparison(tree):
        return _written(target, compared_html(tree, max_mb=max_mb))
    if not isinstance(result, xr.DataTree):
        tree = held(tree)
        read = analysis.reads(tree) if read is None else read
        tree = analysis.keep_projection(tree, result, read=read)
    return _written(target, to_html(tree, data, read=read, max_mb=max_mb))


def write_json(data: dict[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the numbers of a report, what `inversion_kit.analysis.numbers` gave, as a JSON file.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit import analysis
    >>> from inversion_kit.testing import synthetic
    >>> data = analysis.numbers(synthetic(labels=2))
    >>> write_json(data, Path(tempfile.mkdtemp()) / "audit.json").name
    'audit.json'
    """
    target = file_to_write(path, ".json")
    return _written(target, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False))


def _written(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"result: it holds {error.object[error.start : error.end]!r}, which UTF-8 cannot hold "
            "(a lone surrogate); change the name or attribute that has it"
        ) from error
    except OSError as error:
        raise StoreError(f"path={str(path)!r}: cannot be written ({error})") from error
    return path
