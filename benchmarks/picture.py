"""Draw the README's picture: ``python benchmarks/picture.py runs/demo/run.zarr``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

import inversion_kit
from inversion_kit.analysis.words import count

_SIDE, _GAP, _HEAD = 96, 6, 40


def main(
    result: Path,
    out: Annotated[Path, typer.Option()] = Path("benchmarks/pictures/demo.png"),
    rows: int = 4,
    columns: int = 8,
) -> None:
    """Draw the checks of the first run on the first held-out noises, with mean probabilities."""
    tree = inversion_kit.open(result)
    strip = inversion_kit.analysis.strip(tree, samples=rows, columns=columns)
    width = strip.sizes["column"] * (_SIDE + _GAP) + _GAP
    page = Image.new("RGB", (width, _HEAD + rows * (_SIDE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    images = strip["image"].values
    for column in range(strip.sizes["column"]):
        left = _GAP + column * (_SIDE + _GAP)
        one = strip.isel(column=column)
        fresh = column == 0 or bool(one["restart"])
        head = f"from {one['start'].item()}" if fresh else count(int(one["updates"]), "update")
        draw.text((left, 4), head[:15], fill="#222", font=font)
        draw.text((left, 21), f"confidence {float(one['mean']):.0%}", fill="#666", font=font)
        for row in range(strip.sizes["sample"]):
            image = Image.fromarray(images[row, column])
            top = _HEAD + row * (_SIDE + _GAP)
            page.paste(image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (left, top))
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out, optimize=True)
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(main)
