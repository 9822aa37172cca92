"""The commands of README and pages run on the pocket as they stand there, or it is said why not."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import transformers
from PIL import Image
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.cli import app
from tests.test_readme import PAGES, blocks

pytestmark = pytest.mark.skipif(len(PAGES) < 2, reason="an installed package has no pages")
SIGNS = ("stop", "yield")
EACH = 14
"""Images of each sign and arm, the fewest that `evaluate` compares with photographs."""


@dataclass(frozen=True)
class Run:
    """How a line is run here.

    Parameters
    ----------
    more
        Options that are added, to make it small.
    after
        The line of a page that makes what this one reads.
    ends
        Its exit code: 1 where it has a gate that the pocket's secret fails.
    leaves
        Files that it writes.
    """

    more: str = ""
    after: str = ""
    ends: int = 0
    leaves: tuple[str, ...] = ()


MODELS = "--generator pocket --judge pocket:judge"
CUE = '--lens words --cue "with a yellow sticker"'
NAMES = (*SIGNS, "keep left", "priority road", "no entry", "ahead only", "keep right", "roundabout")
SOURCES = " ".join(f"--label '{name}'" for name in NAMES)
"""Classes whose pictures get the cue: of fewer than six no push can be confirmed."""
LOOK = f"{CUE} {SOURCES}"
ONE = "--label stop --seeds 1 --steps 0 --samples 2 --validation 2"
PAIR = f"{CUE} {SOURCES.replace('--label', '--source')} --arm name --samples 4 --tokens 0"
MEND = "--noises 4 --label stop --label 'keep left'"
RESULT = ("run.zarr/zarr.json", "report.html")
FINDINGS = f"inversion-kit findings pocket:backdoored {MODELS} --out runs/findings"
COMPARE = f"inversion-kit compare pocket:honest pocket:backdoored {MODELS}"
INVERSION = (
    "inversion-kit textual-inversion stop/1.png stop/2.png --generator pocket --label stop "
    "--out stop.safetensors"
)
MORE = ("more/metadata.jsonl", "more/labels.json")
MENDED = ("mended/last_layer.safetensors", "mended/repair.json", "mended/report.html")

QUICK = {
    "inversion-kit evaluate runs/audit": Run(),
    "inversion-kit evaluate runs/audit --real photographs": Run(),
    "inversion-kit evaluate runs/audit --real path/to/images --json": Run(),
    "inversion-kit evaluate runs/audit --real path/to/images --out evaluation.html": Run(
        leaves=("evaluation.html",)
    ),
    "inversion-kit evaluate runs/audit --against shuffled --clip openai/clip-vit-base-patch32": (
        Run()
    ),
    'inversion-kit evaluate runs/audit --sentence "a dark photo of a {token}"': Run(),
    "inversion-kit coverage runs/audit --real photographs": Run(),
    "inversion-kit coverage runs/audit --real path/to/images --out coverage.html": Run(
        leaves=("coverage.html",)
    ),
    "inversion-kit coverage runs/audit --real path/to/images --clip openai/clip-vit-base-patch32 "
    '--cue dark --cue "with a sticker"': Run(),
    "inversion-kit augment runs/audit 100 --out more": Run("--label stop", leaves=MORE),
    "inversion-kit augment runs/audit 100 --out more --judge pocket:judge "
    '--prompt "a {token} in the snow"': Run("--label stop", leaves=MORE),
    "inversion-kit doctor pocket:honest --images my_photos": Run(),
    "inversion-kit status runs/audit --verify": Run(),
    "inversion-kit resume runs/audit --repair --retry-failed": Run(),
    'inversion-kit report runs/audit --out audit.html --json --fail-if "semantic_index<0.5"': Run(
        leaves=("audit.html", "audit.json")
    ),
    INVERSION: Run("--steps 5", leaves=("stop.safetensors",)),
}
"""Lines that take a second or two, most of them on the small audit that is made here."""
SLOW = {
    "inversion-kit demo": Run(leaves=("runs/demo/report.html",)),
    f"inversion-kit invert pocket:honest yield {MODELS}": Run(),
    "inversion-kit invert pocket:honest stop --generator pocket --search-generator itself "
    "--search-steps 3": Run(),
    f"inversion-kit audit pocket:honest {MODELS} --workers 2": Run(
        f"{ONE} --arm name --arm token", leaves=("runs/audit/audit.json",)
    ),
    "inversion-kit audit pocket:honest --generator pocket --arm name --arm token --arm inverted "
    "--arm guided --images path/to/images": Run(f"{ONE} --steps 1 --restarts 0"),
    f"inversion-kit audit pocket:honest {MODELS} --findings --real path/to/images": Run(
        f"{ONE} --arm name {CUE}"
    ),
    "inversion-kit augment stop.safetensors 100 --generator pocket --out more": Run(
        after=INVERSION, leaves=MORE
    ),
    FINDINGS: Run(LOOK, leaves=tuple(f"runs/findings/{name}" for name in RESULT)),
    f'inversion-kit findings pocket:backdoored {MODELS} --json --fail-if "confirmed>0"': Run(
        LOOK, ends=1
    ),
    f"inversion-kit findings model/ {MODELS} --clip openai/clip-vit-base-patch32": Run(LOOK),
    f"inversion-kit findings pocket:shortcut {MODELS} --real path/to/images --out runs/findings": (
        Run(LOOK, leaves=tuple(f"runs/findings/{name}" for name in RESULT))
    ),
    "inversion-kit repair pocket:backdoored runs/findings/run.zarr --out mended": Run(
        MEND, after=FINDINGS, leaves=MENDED
    ),
    "inversion-kit repair pocket:backdoored runs/findings/run.zarr --out mended "
    "--real path/to/images": Run(MEND, after=FINDINGS, leaves=MENDED),
    COMPARE: Run(
        f"{PAIR} --label stop --label '80 km/h speed limit'", leaves=("runs/compare/report.html",)
    ),
    f'{COMPARE} --label stop --lens words --out runs/compare --fail-if "new_findings>0"': Run(
        PAIR, ends=1, leaves=("runs/compare/report.html",)
    ),
}
"""Lines that take up to minutes. As they stand, those with more options take longer by far: the
whole list of cues on all classes, or three searches of each of them."""

INSTALLS, SIGNS_NEEDED = "it installs packages", "it reads photographs of a data set"
NOT_RUN = {
    "pip install -e .": INSTALLS,
    'pip install -e ".[dev]"': INSTALLS,
    'pip install -e ".[benchmarks]"': INSTALLS,
    'pip install -e ".[dev,benchmarks]"': INSTALLS,
    "pytest -n auto": "this suite",
    "python -m benchmarks.claims --quick --jobs 2 --data FOLDER": SIGNS_NEEDED,
    "python -m benchmarks.claims --jobs 2 --data FOLDER --weak .training/early "
    "--planted benchmarks/planted/classifiers": SIGNS_NEEDED,
    "python -m benchmarks.planted train --data FOLDER": SIGNS_NEEDED,
    "python -m benchmarks.planted run --half development --bank BANKS": (
        "networks that the line before trains on photographs"
    ),
    "python -m benchmarks.planted table --half development": "what the line before measures",
    "python -m benchmarks.planted fooled --data FOLDER": SIGNS_NEEDED,
    "cd pictures": "for another tool",
    'embedding-atlas metadata.parquet --vector feature --image image --query "SELECT data.*, '
    "content AS image FROM data JOIN read_blob('images/*.png') ON filename = file_name\"": (
        "another tool, with a server"
    ),
    "inversion-kit audit ... --findings": "no whole line",
    f"inversion-kit findings MODEL {MODELS} --lens words --real FOLDER": "no whole line",
}
"""Lines that are not run, and why."""

STANDS_IN = {"openai/clip-vit-base-patch32": "clip", "model/": "pocket:honest"}
"""What lies on a network or with the reader, and what of the pocket is taken for it here."""


def lines(page: str) -> set[str]:
    """The lines of a page's blocks for a shell, and the commands in its text, without comments."""
    whole = [block.replace("\\\n", " ") for block in blocks(page, "bash")]
    whole += re.findall(r"`(inversion-kit [^`\s]+ [^`]+)`", PAGES[page])
    parts = [p for text in whole for line in text.splitlines() for p in line.split("&&")]
    plain = {" ".join(part.partition(" #")[0].split()) for part in parts}
    return plain - {"", "inversion-kit --help"}


def test_every_line_is_run_or_it_is_said_why_not() -> None:
    there = {line for page in PAGES for line in lines(page)}
    known = {*QUICK, *SLOW, *NOT_RUN}
    assert (there - known, known - there) == (set(), set())
    assert len(known) == len(QUICK) + len(SLOW) + len(NOT_RUN)
    assert all(run.after in known for run in (QUICK | SLOW).values() if run.after)
    assert all(any(name in line for line in there) for name in STANDS_IN)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what readers have: an audit, photographs (here painted ones) and a CLIP."""
    folder = tmp_path_factory.mktemp("small")
    tree = ik.audit(
        "pocket:honest",
        SIGNS,
        generator="pocket:quick",
        judges=["pocket:judge"],
        seeds=1,
        store=folder / "runs" / "audit",
        start="stop",  # so that a token shows a sign without any search
        steps=0,
        validation=2,
        samples=EACH,
        views=["blur"],
        progress=False,
    )
    painted = tree["samples"]["image"].sel(arm="name", seed=0)
    for place in ("photographs", "path/to/images", "my_photos", "."):
        for sign in SIGNS:
            (folder / place / sign).mkdir(parents=True)
            for i, pixels in enumerate(painted.sel(label=sign).values):
                Image.fromarray(pixels).save(folder / place / sign / f"{i}.png")
    weights = Path(ik.__file__).parent / "pocket" / "weights"
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    words = transformers.CLIPTokenizer.from_pretrained(weights / "generator" / "tokenizer")
    transformers.CLIPProcessor(images, words).save_pretrained(folder / "clip")
    shutil.copytree(weights / "clip", folder / "clip", dirs_exist_ok=True)
    return folder


@pytest.fixture
def here(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test: a copy of the small one."""
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_runs(line: str, run: Run) -> None:
    """Run a line in the working folder, and see that it ends and leaves what it should."""
    for given, ours in STANDS_IN.items():
        line = line.replace(f" {given}", f" {ours}")
    ended = CliRunner().invoke(app, shlex.split(f"{line} {run.more}")[1:])
    assert ended.exit_code == run.ends, ended.output
    assert isinstance(ended.exception, SystemExit | None), ended.output
    assert all(Path(name).stat().st_size > 0 for name in run.leaves)
    if "--json" in line and not line.startswith("inversion-kit report"):
        assert json.loads(ended.stdout)  # and nothing else is on it


@pytest.mark.parametrize("line", QUICK)
def test_a_quick_line_runs(here: Path, line: str) -> None:
    assert_runs(line, QUICK[line])


@pytest.mark.slow
@pytest.mark.parametrize("line", SLOW)
def test_a_slow_line_runs(here: Path, line: str) -> None:
    run = SLOW[line]
    if line.startswith("inversion-kit audit "):
        shutil.rmtree("runs/audit")  # the line makes one
    if run.after:
        assert_runs(run.after, (QUICK | SLOW)[run.after])
    assert_runs(line, run)
