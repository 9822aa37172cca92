"""What mkdocs adds to the pages: the API reference, the table of settings, files beside `docs`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import inversion_kit
from inversion_kit.settings import Settings, documentation

ROOT = Path(__file__).parents[2]
BESIDE = (
    "CHANGELOG.md",
    "benchmarks/reach.md",
    "benchmarks/pictures/demo.png",
    "benchmarks/pictures/explore.png",
    "benchmarks/pictures/few.svg",
    "benchmarks/pictures/secrets.webp",
    "benchmarks/pictures/words.png",
    "inversion_kit/pocket/weights/README.md",
)
"""Files of the repository that pages link to; on the site they lie beside the pages."""
GROUND = (
    "schema",
    "settings",
    "arms",
    "arm_roles",
    "seeds",
    "hashing",
    "paths",
    "wordings",
    "plain",
    "wilson",
    "pictures",
    "progress",
    "errors",
)


def on_files(files: Files, config: Any) -> Files:
    """Add the reference and the files beside the pages."""
    for path in BESIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    (reference,) = [entry["API reference"] for entry in config["nav"] if "API reference" in entry]
    for title, path in (item for entry in reference for item in entry.items()):
        page = Path(path).stem
        text = f"# {title}\n\n" + (_public() if page == "public" else _room(page))
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of ``docs`` at the site's copies, and fill in the table of settings."""
    return markdown.replace("](../", "](").replace("<!-- settings -->", _settings())


def _public() -> str:
    """The page of all public names of the package, by the room that each comes from."""
    rooms: dict[str, list[str]] = {}
    for name, home in inversion_kit._HOME.items():
        rooms.setdefault(home.split(".")[0], []).append(name)
    modules = ", ".join(f"`ik.{name}`" for name in sorted(inversion_kit._MODULES))
    text = f"After `import inversion_kit as ik`. Modules: {modules}.\n"
    for room, names in rooms.items():
        text += f"\n## {room.capitalize()}\n\n"
        text += "".join(f"::: inversion_kit.{name}\n\n" for name in names)
    return text


def _room(room: str) -> str:
    """The page of a room: all its modules, whole."""
    package = ROOT / "inversion_kit"
    tops = [package / name for name in (GROUND if room == "ground" else [room])]
    paths = [path for top in tops for path in (top.with_suffix(".py"), *sorted(top.rglob("*.py")))]
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if path.is_file() and path.stem != "__init__"
    ]
    return "".join(f"::: {module}\n\n" for module in modules)


def _settings() -> str:
    """The settings as a table."""
    defaults = {field.name: json.dumps(field.default) for field in fields(Settings)}
    rows = ["| setting | default | is |", "|---|---|---|"]
    for name, text in documentation().items():
        text = text.replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | `{defaults[name]}` | {text} |")
    return "\n".join(rows)
