"""Where a command puts its result and its report, and what it says of its findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import inversion_kit
from inversion_kit.cli.app import as_json
from inversion_kit.errors import InputError
from inversion_kit.paths import file_to_write, folder_to_write


def place_of(out: str) -> Path:
    """The folder for a result and its report; before any work is done for them."""
    from inversion_kit.storage.store import free_place

    folder = folder_to_write(out, argument="--out")
    free_place(folder / "run.zarr", overwrite=True)
    file_to_write(folder / "report.html", ".html", makes=True)
    return folder


def keep(tree: Any, out: Path, data: Any = None, read: Any = None) -> tuple[Path, Path]:
    """Where a result and its report are written, of numbers that are there already or of none."""
    from inversion_kit.reports import write_report

    stored = inversion_kit.save(tree, out / "run.zarr", overwrite=True)
    page = write_report(tree, out / "report.html", data, read=read)
    return stored.resolve(), page.resolve()


def check_asked(asked: Mapping[str, Any], findings: bool) -> None:
    """Refuse what is asked of findings where nobody looks for any, or what they would refuse."""
    from inversion_kit.bank.cues import check_cues
    from inversion_kit.classifiers.doctor import read_folder
    from inversion_kit.finding.run import check_lenses

    given = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        if not findings:
            raise InputError(f"--{name}={value!r}: it is for findings; give --findings too")
        if name == "real":
            read_folder(value, "--real")
        elif name == "cue":
            check_cues(value)
        else:
            check_lenses(value)


def add_findings(path: Path, *, real: Any, cue: Any, lens: Any, bank: Any) -> list[str]:
    """Look for an audit's findings and keep them in its folder; what they come to."""
    from inversion_kit.finding.run import LENSES
    from inversion_kit.schema import WHOLE
    from inversion_kit.storage.audit_store import AuditStore
    from inversion_kit.storage.whole import drop_whole

    tree = inversion_kit.findings(
        inversion_kit.open(path), real=real, cues=cue, lenses=lens or LENSES, bank=bank
    )
    folder = AuditStore(path)
    with folder.lock():
        for group in WHOLE.keys() - {"projection"}:
            if group in tree.children:
                folder.write_whole(group, tree[group].to_dataset(inherit=False))
            else:
                drop_whole(folder.path, group)
    return finding_lines(tree, json=False)


def finding_lines(tree: Any, json: bool) -> list[str]:
    """What findings come to: sentences, or one text of JSON."""
    from inversion_kit.analysis import findings_data, looked_for
    from inversion_kit.analysis.carried import real_words

    data = findings_data(tree)
    if not json:
        real = [(one["cue"], real_words(one.get("real"))) for one in data["findings"]]
        return looked_for(tree) + [f"“{cue}”: {words}" for cue, words in real if words]
    return [as_json(data)]
