"""Updates and whole inversions at the size of Stable Diffusion: ``speed.py --size sd15``."""

from __future__ import annotations

import copy
import functools
import gc
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import timm
import torch
import typer

import inversion_kit as ik
from benchmarks.networks import SCHEDULE, built
from benchmarks.updates import finished, from_here, overhead, peak_gib
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.counting import counted
from inversion_kit.generators.quick import search_generator
from inversion_kit.settings import Settings

LABELS = tuple(f"kind {i}" for i in range(10))
UPDATES = 15
"""Of a search on the pocket that needs no probe; on random weights none gets anywhere."""
NO_STOP = {"patience": 1000, "restarts": 0}
QUICK = {"search_steps": 4, "search_guidance": 1.0}
PNDM = ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1})
LCM = ("LCMScheduler", {})
TURBO = ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"})


@dataclass(frozen=True)
class Sampling:
    """How a pipeline makes its images."""

    scheduler: tuple[str, dict[str, Any]]
    steps: int
    guidance: float
    tiny: bool = False


@dataclass(frozen=True)
class Row:
    """Something to measure, and the seconds that it takes on an H100.

    With ``settings`` a whole `invert` whose evidence is sampled so, with a quick search where
    ``search`` says one; else updates.
    """

    setting: str
    sampling: Sampling
    needs: float
    batch: int = 8
    repeats: int = 5
    syncs: bool = False
    settings: dict[str, Any] | None = None
    search: dict[str, Any] = field(default_factory=dict)
    sliced: bool = False
    note: str = ""


GUIDED = Sampling(PNDM, 30, 7.0)
FOUR, FOUR_TINY = Sampling(LCM, 4, 1.0), Sampling(LCM, 4, 1.0, tiny=True)
ONE, ONE_TINY = Sampling(TURBO, 1, 0.0), Sampling(TURBO, 1, 0.0, tiny=True)
PAPER = "the paper's: 30 PNDM steps, guidance 7, one image; an update is five of them"

ROWS = (
    Row("4 steps, no guidance", FOUR, 6),
    Row("4 steps, no guidance, tiny decoder", FOUR_TINY, 4, syncs=True),
    Row("1 step, no guidance, tiny decoder", ONE_TINY, 3, syncs=True),
    Row(PAPER, GUIDED, 7, batch=1, repeats=2),
    Row("30 PNDM steps, guidance 7", GUIDED, 13, repeats=2),
    Row(
        "invert: 4 steps without guidance; the search with a tiny decoder",
        FOUR,
        14,
        settings={"steps": UPDATES, **NO_STOP},
        search=QUICK,
        sliced=True,
    ),
    Row(
        "invert: 1 step without guidance; the search with a tiny decoder",
        ONE,
        10,
        settings={"steps": UPDATES, **NO_STOP},
        search={"search_steps": 1},
        sliced=True,
    ),
    Row(
        "invert: evidence 30 PNDM steps, guidance 7; the search 4 steps, none, tiny decoder",
        GUIDED,
        36,
        settings={"steps": UPDATES, **NO_STOP},
        search=QUICK,
        sliced=True,
    ),
    Row(
        "invert: 30 PNDM steps, guidance 7, in the search too",
        GUIDED,
        26,
        settings={"steps": 5, "validation": 8, "samples": 8, **NO_STOP},
        note=f"5 updates of {UPDATES}, checks of 8 images of 16, 8 final images of 32",
    ),
)
XL_ROWS = (
    Row("4 steps, no guidance", FOUR, 6, batch=1, repeats=3),
    Row("4 steps, no guidance, tiny decoder", FOUR_TINY, 9, batch=4, repeats=3),
    Row("1 step, no guidance, tiny decoder", ONE_TINY, 5, batch=4, repeats=3, syncs=True),
)


def classifiers(device: str, *, toy: bool) -> list[Classifier]:
    """A ResNet-18 at 224 pixels and a judge, both with random weights; toys are smaller."""
    made = []
    for name in ("resnet18", "judge"):
        with torch.device(device):
            net = timm.create_model("test_resnet" if toy else "resnet18", num_classes=len(LABELS))
        made.append(ik.as_classifier(net, labels=LABELS, name=name))
    return made


def sampled_by(pipeline: Any, tiny: Any, name: str, how: Sampling) -> Generator:
    """A generator with that sampling, on the same networks."""
    pipe = copy.copy(pipeline)
    kind, settings = how.scheduler
    pipe.scheduler = getattr(diffusers, kind)(**SCHEDULE, **settings)
    if how.tiny:
        pipe.vae = tiny
    return Generator(pipe, name=name, num_inference_steps=how.steps, guidance_scale=how.guidance)


def inverted(
    row: Row, generator: Generator, models: Sequence[Classifier], decoder: Path
) -> dict[str, Any]:
    """Seconds, counts and memory of a whole `invert` with its evidence."""
    generator.pipeline.vae.use_slicing = row.sliced
    from_here(generator.device)
    began = time.perf_counter()
    inside = [generator]
    if row.search:
        quick = search_generator(generator, Settings(**row.search, search_decoder=str(decoder)))
        generator.quick = quick
        inside.append(quick)
    hashed = [one.hash for one in inside]  # once, as `invert` asks for it too
    hashing = time.perf_counter() - began
    with counted(*inside) as counts:
        tree = ik.invert(
            models[0],
            0,
            generator=generator,
            judges=models[1:],
            progress=False,
            **(row.settings or {}),
        )
    finished()
    seconds = round(time.perf_counter() - began, 2)
    assert tree.attrs["generator_hash"] == hashed[0]
    return {
        "seconds": seconds,
        "of_these_hashing": hashing,
        "peak_gib": peak_gib(generator.device),
        "settings": row.settings,
        "search": row.search,
        "decoder": "an image at a time" if row.sliced else "all at once",
        **asdict(counts),
        "arms": tree["samples"]["arm"].values.tolist(),
    }


def attempted(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the work finds, or why it failed; the rows after it are still wanted."""
    try:
        return work()
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error!s:.500}"}


def measured(
    row: Row, generator: Generator, models: Sequence[Classifier], decoder: Path
) -> dict[str, Any]:
    """What one row says."""
    if row.settings is not None:
        return inverted(row, generator, models, decoder)
    generator.pipeline.vae.use_slicing = row.sliced
    took = overhead(generator, models[0], row.batch, row.repeats, syncs=row.syncs)
    return {"batch": row.batch, **took}


def rows_at(
    size: str, device: str, dtype: torch.dtype, left: Callable[[], float]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row of a size, after what building its networks took."""
    began = time.perf_counter()
    models = classifiers(device, toy=size.startswith("tiny"))
    pipeline, tiny = built(size, device, dtype)
    finished()
    yield "building the networks", {"seconds": time.perf_counter() - began}
    with tempfile.TemporaryDirectory() as folder:
        tiny.save_pretrained(folder)
        for row in XL_ROWS if size.endswith("xl") else ROWS:
            if left() < row.needs:
                yield row.setting, {"error": f"skipped: {left():.0f} s left"}
                continue
            generator = sampled_by(pipeline, tiny, size, row.sampling)
            work = functools.partial(measured, row, generator, models, Path(folder))
            yield row.setting, attempted(work) | ({"note": row.note} if row.note else {})


def measure(
    sizes: Sequence[str],
    device: str,
    *,
    within: float | None = None,
    keep: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """All rows of all sizes, each printed and given to ``keep`` with those before it at once.

    Parameters
    ----------
    sizes
        Of `benchmarks.networks.SIZES`, in their order.
    device
        On the CPU in float32, elsewhere in bfloat16.
    within
        Seconds: a row that needs more than is left of them is skipped, and said to be.
    """
    began = time.perf_counter()
    place = torch.device(device)
    dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
    card = torch.cuda.get_device_name() if place.type == "cuda" else "cpu"
    found: list[dict[str, Any]] = []

    def left() -> float:
        return (math.inf if within is None else within) - (time.perf_counter() - began)

    for size in sizes:
        for setting, row in rows_at(size, device, dtype, left):
            exact = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            about = {"card": card, "dtype": str(dtype).removeprefix("torch.")}
            at = round(time.perf_counter() - began, 1)
            found.append({"size": size, "setting": setting, **exact, **about, "at": at})
            typer.echo(json.dumps(found[-1]))
            keep(found)
        gc.collect()
    return found
