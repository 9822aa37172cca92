"""Draw the README's picture: ``python benchmarks/picture.py runs/demo/run.zarr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

import inversion_kit

_SIDE, _GAP, _HEAD = 96, 6, 40


def _updates(n: int) -> str:
    return f"{n} update" if n == 1 else f"{n} updates"


def main(
    result: Path,
    out: Annotated[Path, typer.Option()] = Path("benchmarks/pictures/demo.png"),
    rows: int = 4,
    columns: int = 8,
) -> None:
    """Draw the checks of the first seed on the first held-out noises, with mean probabilities."""
    tree = inversion_kit.open(result)
    checks = tree["validation"].to_dataset().isel(seed=0)
    there = np.flatnonzero(checks["step"].values >= 0)
    picked = there[np.unique(np.linspace(0, len(there) - 1, columns).round().astype(int))]
    target = checks["probability"].isel({"class": tree.attrs["label_index"]}).mean("sample").values
    width = len(picked) * (_SIDE + _GAP) + _GAP
    page = Image.new("RGB", (width, _HEAD + rows * (_SIDE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for column, check in enumerate(picked):
        left = _GAP + column * (_SIDE + _GAP)
        start = str(checks["start"].values[check])
        fresh = column == 0 or start != str(checks["start"].values[picked[column - 1]])
        head = f"from {start}" if fresh else _updates(int(checks["step"].values[check]))
        draw.text((left, 4), head[:15], fill="#222", font=font)
        draw.text((left, 21), f"confidence {target[check]:.0%}", fill="#666", font=font)
        for row in range(rows):
            image = Image.fromarray(checks["image"].values[check, row])
            top = _HEAD + row * (_SIDE + _GAP)
            page.paste(image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (left, top))
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out, optimize=True)
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(main)
