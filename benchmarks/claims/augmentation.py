"""4: pictures of tokens are training images where real ones are few.

The generators have seen the benchmark's training photographs themselves, and the classifier that
tokens are searched for was trained on them: a gain is what these two pass on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.claims.bench import PHOTO, Bench, listed
from benchmarks.claims.photographs import SHOWN, digest, inverted, of_class, photographs
from benchmarks.claims.table import Estimate, Table
from inversion_kit.figures.static import svg
from inversion_kit.figures.style import DASHES, Spec, curve, layout, look, share_axis
from inversion_kit.generators.class_token import PLACEHOLDER, ClassToken
from inversion_kit.generators.kept import kept
from inversion_kit.generators.sample import from_bytes
from inversion_kit.pocket.classify import augment
from inversion_kit.pocket.signs import NAMES
from inversion_kit.seeds import FREE, noise_seeds

COUNTS = (1, 5, 10, 50)
KINDS = ("nothing", "standard augmentation", "name pictures", "token pictures", "inverted pictures")
"""What is added to the real images; all but "nothing" with standard augmentation."""
TESTED = 200
"""Test photographs of a class, at most."""
BATCH, RATE = 64, 3e-3


def measure(bench: Bench) -> Table:
    """Accuracy of a small classifier on real test photographs, by what it was trained on."""
    counts = COUNTS[:1] if bench.quick else COUNTS
    heads = ["generator", "added to them", *(f"{n} real" for n in counts)]
    heads += [f"{n} real, less standard" for n in counts]
    table = Table(4, "Few real images", heads)
    if bench.data is None:
        table.notes.append("Skipped: it needs real photographs (`--data`).")
        return table
    labels, runs = bench.labels(4), range(2 if bench.quick else 5)
    made = 16 if bench.quick else 50
    for generator in list(bench.generators)[: 1 if bench.quick else None]:
        for kind in KINDS:
            if kind in KINDS[:2] and generator != next(iter(bench.generators)):
                continue
            row, more = ["" if kind in KINDS[:2] else generator, kind], []
            for count in counts:
                asked = (bench, generator, labels)
                found, plain = (
                    [_trained(*asked, one, count, made, seed) for seed in runs]
                    for one in (kind, KINDS[1])
                )
                one, gained = (
                    _mean(found),
                    _mean([a - b for a, b in zip(found, plain, strict=True)]),
                )
                row.append(one.share())
                more.append("" if kind == KINDS[1] else gained.change())
                about = {"generator": generator, "added": kind, "real": count, "runs": found}
                table.data.append(about | one.plain() | {"gain": gained.plain()})
            table.rows.append([*row, *more])
    if len(counts) > 1:
        table.files["claim-4.svg"] = curves(table.data).encode()
    table.notes.append(
        f"Accuracy on real test photographs of {listed(labels)}, by real training images of each; "
        f"{made} pictures of each class added, {len(runs)} runs, 95 % interval of their mean by "
        "Student's t, paired by run where compared. Textual inversion sees the same real images, "
        f"{SHOWN} at most. The generator was trained on the whole training set, so that its "
        "pictures bring more than the few real images hold."
    )
    return table


def curves(data: list[dict[str, Any]]) -> str:
    """Accuracy over real images of a class, as SVG: a colour a kind, a dash a generator."""
    kinds = dict.fromkeys((row["generator"], row["added"]) for row in data)
    drawn_by = list(dict.fromkeys(generator for generator, _ in kinds))
    traces: list[Spec] = []
    for generator, added in kinds:
        rows = [row for row in data if (row["generator"], row["added"]) == (generator, added)]
        name = added if added in KINDS[:2] else f"{added}, {generator}"
        x = [float(np.log10(row["real"])) for row in rows]
        colour, symbol = look(KINDS.index(added))
        dash = DASHES[drawn_by.index(generator)]
        line = curve(x, [row["value"] for row in rows], name, colour, 2, dash)
        traces.append(line | {"mode": "lines+markers", "marker": {"symbol": symbol, "size": 7}})
    ticks = sorted({row["real"] for row in data})
    room = 0.03 * np.log10(ticks[-1])
    across = {
        "range": [float(np.log10(ticks[0]) - room), float(np.log10(ticks[-1]) + room)],
        "title": {"text": "real training images of a class"},
        "tickvals": [float(np.log10(n)) for n in ticks],
        "ticktext": [str(n) for n in ticks],
    }
    up = share_axis("accuracy on real test images")
    drawn = layout("Few real images", xaxis=across, yaxis=up, showlegend=True)
    drawing = svg({"data": traces, "layout": drawn}, width=760, height=460)
    return drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)  # as a file


def _mean(values: list[float]) -> Estimate:
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / n**0.5) if n > 1 else np.nan
    least = 0.0 if min(values) >= 0 else -1.0
    return Estimate(mean, max(least, mean - half), min(1.0, mean + half))


def _trained(
    bench: Bench, generator: str, labels: list[int], kind: str, count: int, made: int, seed: int
) -> float:
    """Test accuracy of one run, made once."""

    def make() -> float:
        real = from_bytes(train.image[np.concatenate(rows)])
        known = torch.arange(len(labels)).repeat_interleave(torch.tensor([len(r) for r in rows]))
        more = None
        if kind not in KINDS[:2]:
            asked = (bench, generator)
            more = torch.cat([_pictures(*asked, i, kind, made, count, seed) for i in labels])
        model = _fit(real, known, more, len(labels), plain=kind == KINDS[0], seed=seed)
        hits = []
        for place, label in enumerate(labels):
            images = test.image[of_class(test, label, TESTED, 0)]
            with torch.no_grad():
                read = model(from_bytes(images)).argmax(1).numpy()
            hits.append((read == place).mean())
        return float(np.mean(hits))

    assert bench.data is not None
    train, test = (photographs(bench.data, part) for part in ("train", "test"))
    rows = [of_class(train, label, count, seed) for label in labels]
    shown = digest(train.image[np.concatenate(rows)]), digest(test.image)
    what: dict[str, Any] = {"labels": labels, "kind": kind, "count": count, "seed": seed}
    what["photographs"] = shown
    if kind not in KINDS[:2]:
        what |= {"made": made, "quick": bench.quick, **bench.models(generator)}
    return float(bench.cells.of("augmented", what, make))


def _pictures(
    bench: Bench, generator: str, label: int, kind: str, n: int, count: int, run: int
) -> Tensor:
    """Pictures of a class by its name, its token or that of textual inversion of the run."""
    seed, token, said = bench.seeds[run % len(bench.seeds)], None, PLACEHOLDER
    if kind == "name pictures":
        said = NAMES[label]
    elif kind == "token pictures":
        token = bench.token(generator, label, "", seed)
    else:
        token = inverted(bench, generator, label, run, count)
    placed = None if token is None else ClassToken(token)
    seeds = noise_seeds(run, FREE, 1, n)
    prompts = [PHOTO.format(said)] * n
    return kept(bench.generators[generator], prompts, seeds=seeds, token=placed).float() / 255


def _network(classes: int) -> nn.Module:
    """Four convolutions."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4, classes))


def _fit(
    real: Tensor, known: Tensor, more: Tensor | None, classes: int, *, plain: bool, seed: int
) -> nn.Module:
    """A small network from random weights; half of each batch is of the added pictures."""
    torch.manual_seed(seed)
    random, model = torch.Generator().manual_seed(seed), _network(classes)
    steps = 100 + 20 * classes
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    each = 0 if more is None else len(more) // classes
    for _ in range(steps):
        size = BATCH if more is None else BATCH // 2
        rows = torch.randint(len(real), (size,), generator=random)
        x, y = real[rows], known[rows]
        if more is not None:
            rows = torch.randint(len(more), (size,), generator=random)
            x, y = torch.cat([x, more[rows]]), torch.cat([y, rows // each])
        if not plain:
            x = augment(x, random)
        loss = F.cross_entropy(model(x), y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)
