"""Updates and whole inversions at the size of Stable Diffusion: ``speed.py --size sd15``.

On the CPU one update of one image alone, but for the toys. The seconds that a row needs, on an
H100, are estimates that say what `--within` skips.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import json
import math
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import timm
import torch
import typer

import inversion_kit as ik
from benchmarks.networks import SCHEDULE, built
from benchmarks.peak import Peak
from benchmarks.updates import finished, from_here, overhead, peak_gib
from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.checkpointing import checkpoint_next, checkpointed
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.counting import counted
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.generators.quick import search_generator
from inversion_kit.search.optimise import optimise
from inversion_kit.settings import Settings

LABELS = tuple(f"kind {i}" for i in range(10))
UPDATES = 15
"""Of a search on the pocket that needs no probe; on random weights none gets anywhere."""
NO_STOP = {"patience": 1000, "restarts": 0}
QUICK = {"search_steps": 4, "search_guidance": 1.0}
PNDM = ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1})
LCM = ("LCMScheduler", {})
TURBO = ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"})
EULER = ("EulerDiscreteScheduler", {"steps_offset": 1})
LIMIT = 12.0
"""GiB of a GPU that a token with its evidence shall do with."""


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

    With ``settings`` a whole `invert` whose evidence is sampled so; the search has a tiny decoder
    and these settings where ``search`` is given. Else updates, or a single one, ``once``. ``limit``
    is what it gets of a GPU's memory, in GiB.
    """

    setting: str
    sampling: Sampling
    needs: float
    batch: int = 8
    repeats: int = 5
    syncs: bool = False
    settings: dict[str, Any] | None = None
    search: dict[str, Any] | None = None
    sliced: bool = False
    once: bool = False
    limit: float | None = None
    note: str = ""


GUIDED = Sampling(PNDM, 30, 7.0)
FOUR, FOUR_TINY = Sampling(LCM, 4, 1.0), Sampling(LCM, 4, 1.0, tiny=True)
ONE, ONE_TINY = Sampling(TURBO, 1, 0.0), Sampling(TURBO, 1, 0.0, tiny=True)
XL_OWN = Sampling(EULER, 50, 5.0)
PAPER = "the paper's: 30 PNDM steps, guidance 7, one image; an update is five of them"

FEWER = {"steps": 5, "validation": 8, "samples": 8, **NO_STOP}
OF_FEWER = f"5 updates of {UPDATES}, checks of 8 images of 16, 8 final images of 32"
SHORT = Row(
    "invert: 4 steps without guidance; the search with a tiny decoder",
    FOUR,
    14,
    settings={"steps": UPDATES, **NO_STOP},
    search=QUICK,
    sliced=True,
)
DEFAULT = Row(
    "invert: defaults, with the probe; 4 steps without guidance, the search with a tiny decoder",
    FOUR,
    70,
    settings={},
    search={},
    sliced=True,
    note="on random weights no start gets anywhere: all checks, probes and restarts are made",
)
ONCE = Row("one update of one image: 4 steps, no guidance", FOUR, 300, batch=1, once=True)
ROWS = (
    Row("4 steps, no guidance", FOUR, 6),
    Row("4 steps, no guidance, tiny decoder", FOUR_TINY, 4, syncs=True),
    Row("1 step, no guidance, tiny decoder", ONE_TINY, 3, syncs=True),
    Row(PAPER, GUIDED, 7, batch=1, repeats=2),
    Row("30 PNDM steps, guidance 7", GUIDED, 13, repeats=2),
    SHORT,
    replace(SHORT, setting=f"{SHORT.setting}; {LIMIT:g} GiB at most", needs=16, limit=LIMIT),
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
        settings=FEWER,
        note=OF_FEWER,
    ),
    DEFAULT,
)
XL_ROWS = (
    Row("4 steps, no guidance", FOUR, 6, batch=1, repeats=3),
    Row("4 steps, no guidance, tiny decoder", FOUR_TINY, 9, batch=4, repeats=3),
    Row("1 step, no guidance, tiny decoder", ONE_TINY, 5, batch=4, repeats=3, syncs=True),
    Row(PAPER, GUIDED, 12, batch=1, repeats=1),
    Row(
        "50 Euler steps, guidance 5: its pipeline's own",
        XL_OWN,
        20,
        batch=1,
        repeats=1,
        note="one image; an update by default is eight of them",
    ),
    replace(SHORT, needs=40, settings=FEWER, note=OF_FEWER),
)


def rows_of(size: str, device: torch.device) -> tuple[Row, ...]:
    """The rows of a size on a device."""
    if device.type == "cpu" and not size.startswith("tiny"):
        return (ONCE,)
    return XL_ROWS if size.endswith("xl") else ROWS


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
    from_here(generator.device)
    began = time.perf_counter()
    inside = [generator]
    if row.search is not None:
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
        "at_once": {**vars(models[0]).get("fitted", {}), **vars(generator).get("fitted", {})},
        "gradient_checkpointing": tree.attrs.get("gradient_checkpointing", ""),
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


def single(row: Row, generator: Generator, classifier: Classifier) -> dict[str, Any]:
    """Seconds, counts and memory of one update, cold: nothing is done before."""
    spare = functools.partial(checkpoint_next, generator)
    updates = optimise(
        classifier,
        generator,
        0,
        [f"a photo of a {PLACEHOLDER}"],
        start=generator.neutral_vector(),
        start_name="",
        seed=0,
        steps=1,
        batch=row.batch,
        lr=0.3,
        gradient=LAST_STEP,
        micro_batch=MicroBatch(row.batch, spare=spare),
    )
    peak = Peak(generator.device)
    with counted(generator) as counts:
        began, worked = time.perf_counter(), time.process_time()
        next(updates)
        finished()
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
    return {
        "batch": row.batch,
        "update": seconds,
        "processor_seconds": worked,
        "peak_gib": round(peak.mb() * 1e6 / 2**30, 1),
        "gradient_checkpointing": ", ".join(checkpointed(generator)),
        **asdict(counts),
    }


@contextlib.contextmanager
def limited(device: torch.device, gib: float | None) -> Iterator[None]:
    """While open, no more of a GPU's memory than that; a CPU's is not limited."""
    if device.type != "cuda" or gib is None:
        yield
        return
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / whole), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def measured(
    row: Row, generator: Generator, models: Sequence[Classifier], decoder: Path
) -> dict[str, Any]:
    """What one row says; what an earlier one noticed of memory is forgotten."""
    for model in models:
        vars(model).pop("fitted", None)
    for name in checkpointed(generator):
        getattr(generator.pipeline, name).disable_gradient_checkpointing()
    generator.pipeline.vae.use_slicing = row.sliced
    with limited(generator.device, row.limit):
        if row.settings is not None:
            return inverted(row, generator, models, decoder)
        if row.once:
            return single(row, generator, models[0])
        took = overhead(generator, models[0], row.batch, row.repeats, syncs=row.syncs)
        return {"batch": row.batch, **took}


def rows_at(
    size: str,
    device: str,
    dtype: torch.dtype,
    left: Callable[[], float],
    known: Container[str] = (),
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row of a size that is not known, after what building its networks took."""
    rows = [row for row in rows_of(size, torch.device(device)) if row.setting not in known]
    if not rows:
        return
    began = time.perf_counter()
    models = classifiers(device, toy=size.startswith("tiny"))
    pipeline, tiny = built(size, device, dtype)
    finished()
    yield "building the networks", {"seconds": time.perf_counter() - began}
    with tempfile.TemporaryDirectory() as folder:
        tiny.save_pretrained(folder)
        for row in rows:
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
    done: Sequence[dict[str, Any]] = (),
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
    done
        Rows of an earlier call: those of the same card and dtype without an error are not made
        again, and stand first.
    """
    began = time.perf_counter()
    place = torch.device(device)
    dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
    card = torch.cuda.get_device_name() if place.type == "cuda" else "cpu"
    about = {"card": card, "dtype": str(dtype).removeprefix("torch.")}
    found = [row for row in done if "error" not in row]

    def left() -> float:
        return (math.inf if within is None else within) - (time.perf_counter() - began)

    for size in sizes:
        here = {"size": size, **about}
        known = {row["setting"] for row in found if row.items() >= here.items()}
        for setting, row in rows_at(size, device, dtype, left, known):
            exact = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            at = round(time.perf_counter() - began, 1)
            found.append({"size": size, "setting": setting, **exact, **about, "at": at})
            typer.echo(json.dumps(found[-1]))
            keep(found)
        gc.collect()
    return found
