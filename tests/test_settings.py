"""A setting is one line: with it in the source, it arrives everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import inversion_kit.settings

ADDED = {
    "    steps: int = ": "    extra: int = _setting(3, _whole(1))\n",
    "    steps\n        Optimiser": "    extra\n        Something new, at least 1.\n",
}
"""The line and its words, each before the first place of another's."""
LOOK = """
import importlib.util, inspect, json, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("inversion_kit.settings", sys.argv[1])
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

import inversion_kit as ik
from inversion_kit.cli import app
from inversion_kit.settings import Settings
from typer.testing import CliRunner

assert Settings().extra == 3
store = Path(sys.argv[2])
given = {"generator": "pocket", "arms": ["name"], "samples": 1, "progress": False, "extra": 5}
tree = ik.audit("pocket:honest", ["stop"], store=store, **given)

def printed(command, *options):
    return CliRunner().invoke(app, [command, *options]).output.strip()

print(json.dumps({
    "signatures": [str(inspect.signature(c).parameters["extra"]) for c in (ik.invert, ik.audit)],
    "docstrings": ["Something new" in call.__doc__ for call in (ik.invert, ik.audit)],
    "attributes": json.loads(tree.attrs["settings"])["extra"],
    "plan": json.loads((store / "audit.json").read_text())["settings"]["extra"],
    "code": "extra=5" in ik.analysis.code(tree),
    "help": ["--extra" in printed(command, "--help") for command in ("invert", "audit")],
    "refused": printed("invert", "pocket:honest", "stop", "--extra", "0"),
}))
"""


def test_a_setting_that_is_added_arrives_everywhere(tmp_path: Path) -> None:
    source = Path(inversion_kit.settings.__file__).read_text("utf-8")
    for before, line in ADDED.items():
        assert source.count(before) == 1
        source = source.replace(before, line + before)
    (tmp_path / "settings.py").write_text(source, "utf-8")
    command = [sys.executable, "-c", LOOK, str(tmp_path / "settings.py"), str(tmp_path / "audit")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert "extra=0: expected a whole number of at least 1" in seen.pop("refused")
    assert seen == {
        "signatures": ["extra: 'int' = 3"] * 2,
        "docstrings": [True] * 2,
        "attributes": 5,
        "plan": 5,
        "code": True,
        "help": [True] * 2,
    }
