"""What a result says: success with intervals, agreement of judges, the path of a search, in words.

Every interval is a 95 % interval that widens when runs differ and is no point when every image
agrees, see `intervals`. With one run seed it covers other noise for this token, not another run.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from inversion_kit.analysis import intervals
from inversion_kit.errors import InputError, nearest

NEUTRAL = "neutral"
"""Start name of a search that began at the mean of the vocabulary."""


def hits(tree: xr.DataTree) -> xr.DataArray:
    """Whether each test image's first class is the label.

    Returns
    -------
    xr.DataArray
        bool ``(scorer, arm, seed, sample)``. Coordinate ``scorer`` holds the audited classifier's
        name, then the judges'; ``role`` along it is ``"audited"`` or ``"judge"``. An image whose
        probabilities are not finite is no hit.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> dict(hits(synthetic_run()).sizes)
    {'scorer': 2, 'arm': 3, 'seed': 2, 'sample': 6}
    """
    samples = tree["samples"].to_dataset()
    target = int(tree.attrs["label_index"])
    scores = [samples["probability"].values]
    names, roles = [str(tree.attrs["classifier"])], ["audited"]
    if "judge_probability" in samples:
        scores += list(samples["judge_probability"].values)
        names += [str(name) for name in samples["judge"].values]
        roles += ["judge"] * samples.sizes["judge"]
    hit = [(p.argmax(-1) == target) & np.isfinite(p).all(-1) for p in scores]
    coords = {d: samples[d].values for d in ("arm", "seed", "sample")}
    return xr.DataArray(
        np.stack(hit),
        dims=("scorer", "arm", "seed", "sample"),
        coords={"scorer": names, "role": ("scorer", roles), **coords},
    )


def success(tree: xr.DataTree, *, n_boot: int = 2000, seed: int = 0) -> xr.Dataset:
    """Share of test images read as the label, for every arm and scorer, with a 95 % interval.

    Parameters
    ----------
    n_boot
        Bootstrap resamples.
    seed
        Of the bootstrap.

    Returns
    -------
    xr.Dataset
        ``success``, ``low``, ``high`` ``(arm, scorer)`` in [0, 1]; ``per_seed``
        ``(arm, scorer, seed)``, each run's own share; attribute ``images``, how many each share
        is over. Shares are means over seeds and samples; for the interval see the module.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> success(synthetic_run())["low"].sizes["arm"]
    3
    """
    hit = hits(tree).transpose("arm", "scorer", "seed", "sample")
    n = hit.sizes["seed"] * hit.sizes["sample"]
    value, low, high = intervals.share(hit.values, n_boot=n_boot, seed=seed)
    dims = ("arm", "scorer")
    return xr.Dataset(
        {
            "success": (dims, value),
            "low": (dims, low),
            "high": (dims, high),
            "per_seed": hit.mean("sample"),
        },
        attrs={"images": n, "interval": 0.95, "n_boot": n_boot, "bootstrap_seed": seed},
    )


def paired_difference(
    tree: xr.DataTree, arm: str, control: str, *, n_boot: int = 2000, seed: int = 0
) -> xr.Dataset:
    """Success of ``arm`` minus success of ``control`` on the same noise, with a 95 % interval.

    Returns
    -------
    xr.Dataset
        ``difference``, ``low``, ``high`` ``(scorer,)`` in [-1, 1].

    Raises
    ------
    InputError
        The result holds no such arm.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> paired_difference(synthetic_run(), "token", "start")["difference"].dims
    ('scorer',)
    """
    hit = hits(tree)
    known = [str(a) for a in hit["arm"].values]
    for name, given in (("arm", arm), ("control", control)):
        if given not in known:
            raise InputError(f"{name}={given!r}: not in this result; try {nearest(given, known)}")
    ours, theirs = hit.sel(arm=arm).values, hit.sel(arm=control).values
    value, low, high = intervals.difference(ours, theirs, n_boot=n_boot, seed=seed)
    return xr.Dataset(
        {
            "difference": ("scorer", value),
            "low": ("scorer", low),
            "high": ("scorer", high),
        },
        coords={"scorer": hit["scorer"], "role": hit["role"]},
        attrs={"arm": arm, "control": control, "interval": 0.95, "n_boot": n_boot},
    )


def agreement(
    tree: xr.DataTree, *, arm: str = "token", n_boot: int = 2000, seed: int = 0
) -> xr.Dataset:
    """Of an arm's images that the audited classifier reads as the label, those each judge does too.

    Returns
    -------
    xr.Dataset
        ``share``, ``low``, ``high`` ``(judge,)`` in [0, 1], NaN where the classifier reads no
        image so; attribute ``images``, how many it reads so. ``judge`` is empty without judges.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> agreement(synthetic_run(judges=())).sizes["judge"]
    0
    """
    hit = hits(tree).sel(arm=arm)
    audited, judges = hit.values[0], hit.values[1:]
    share, low, high = intervals.ratio(
        judges & audited, np.broadcast_to(audited, judges.shape), n_boot=n_boot, seed=seed
    )
    return xr.Dataset(
        {"share": ("judge", share), "low": ("judge", low), "high": ("judge", high)},
        coords={"judge": hit["scorer"].values[1:]},
        attrs={"images": int(audited.sum()), "arm": arm, "interval": 0.95, "n_boot": n_boot},
    )


def trajectory(tree: xr.DataTree) -> xr.Dataset:
    """The path of every search over its checks on held-out noise.

    Returns
    -------
    xr.Dataset
        ``(seed, check)``: ``step``, updates so far; ``start``; ``own_updates``, those since the
        start was last changed; ``target_probability``, mean over noises, and its 10th and 90th
        percentile over noises, ``tenth`` and ``ninetieth``; ``runner_up``, the class with the
        highest mean probability other than the label, and ``runner_up_probability``; ``kept``,
        True at the selected check. After a seed's last check: NaN, "" and False.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> dict(trajectory(synthetic_run()).sizes)
    {'seed': 2, 'check': 4}
    """
    validation = tree["validation"].to_dataset()
    target = int(tree.attrs["label_index"])
    probability = validation["probability"].values
    mean = probability.mean(2)
    others = mean.copy()
    others[..., target] = -np.inf
    second = np.where(np.isnan(mean).any(-1), target, others.argmax(-1))
    there = np.isfinite(mean[..., target])
    names = np.append(validation["class"].values.astype(str), "")
    starts, steps = validation["start"].values.astype(str), validation["step"].values
    begun = steps.copy()
    for check in range(1, steps.shape[1]):
        same = starts[:, check] == starts[:, check - 1]
        begun[:, check] = np.where(same, begun[:, check - 1], steps[:, check])
    tenth, ninetieth = np.quantile(probability[..., target], (0.1, 0.9), axis=2)
    kept = np.arange(steps.shape[1]) == tree["token"]["selected"].values[:, None]
    dims = ("seed", "check")
    return xr.Dataset(
        {
            "step": (dims, steps),
            "start": (dims, starts),
            "own_updates": (dims, steps - begun),
            "target_probability": (dims, mean[..., target]),
            "tenth": (dims, tenth),
            "ninetieth": (dims, ninetieth),
            "runner_up": (dims, names[np.where(there, second, -1)]),
            "runner_up_probability": (
                dims,
                np.where(there, np.take_along_axis(mean, second[..., None], -1)[..., 0], np.nan),
            ),
            "kept": (dims, kept & there),
        },
        coords={d: validation[d].values for d in dims},
    )


def first_start(tree: xr.DataTree) -> str:
    """Where the arm "start" stands, in words: where every search began.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> first_start(synthetic_run())
    'the neutral start'
    """
    starts = dict.fromkeys(str(s) for s in tree["validation"]["start"].values[:, 0])
    return _and([_start_says(start) for start in starts])


def summary_sentences(tree: xr.DataTree) -> list[str]:
    """Three sentences for people: how often it worked, what that means, where it began.

    They claim no more than the intervals carry: an effect only where the token's images beat the
    start's on the same noise, meaning only where every judge agrees on more than half of the
    images, a trick only where none does.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic_run
    >>> len(summary_sentences(synthetic_run()))
    3
    """
    return [_success_sentence(tree), _meaning_sentence(tree), _start_sentence(tree)]


def percent(share: float) -> str:
    r"""A share in percent; 100 and 0 are kept for exactly all and exactly none.

    Examples
    --------
    >>> percent(0.997), percent(1.0)
    ('>99\xa0%', '100\xa0%')
    """
    if math.isnan(share):
        return "\N{EN DASH}"
    whole = round(share * 100)
    if whole == 100 and share < 1:
        return ">99\N{NO-BREAK SPACE}%"
    if whole == 0 and share > 0:
        return "<1\N{NO-BREAK SPACE}%"
    return f"{whole}\N{NO-BREAK SPACE}%"


def bracket(low: float, high: float) -> str:
    r"""An interval in percent, rounded outwards.

    Examples
    --------
    >>> bracket(0.802, 0.978)
    '[80,\xa098]'
    """
    if math.isnan(low):
        return "\N{EN DASH}"
    ends = [math.floor(low * 100 + 1e-9), math.ceil(high * 100 - 1e-9)]
    return f"[{ends[0]},\N{NO-BREAK SPACE}{ends[1]}]".replace("-", "\N{MINUS SIGN}")


def points(difference: float) -> str:
    """A difference of shares in percentage points, signed.

    Examples
    --------
    >>> points(0.91), points(0.001)
    ('+91', '0')
    """
    whole = round(difference * 100)
    return f"{whole:+d}".replace("-", "\N{MINUS SIGN}") if whole else "0"


def _success_sentence(tree: xr.DataTree) -> str:
    label, classifier = tree.attrs["label"], tree.attrs["classifier"]
    table = success(tree)
    arms = [str(a) for a in table["arm"].values]
    if "token" not in arms:
        path = trajectory(tree)
        kept = float(path["target_probability"].where(path["kept"]).mean())
        return (
            f"No test images of the token were made; on the noise that chose it, {classifier} "
            f"gives “{label}” a mean probability of {percent(kept)}, which flatters the token."
        )

    def rate(arm: str, scorer: int) -> str:
        row = table.sel(arm=arm).isel(scorer=scorer)
        interval = bracket(float(row["low"]), float(row["high"]))
        return f"{percent(float(row['success']))}\N{NO-BREAK SPACE}{interval}"

    read = [f"{rate('token', 0)} of the token images are read as “{label}” by {classifier}"]
    read += [
        f"{rate('token', i)} by the judge {name}"
        for i, name in enumerate(table["scorer"].values[1:], start=1)
    ]
    controls = {"start": first_start(tree), "name": "a plain prompt with the class name"}
    gave = [f"{says} gave {rate(arm, 0)}" for arm, says in controls.items() if arm in arms]
    runs = table.sizes["seed"]
    scope = "from one run, for other noise only" if runs == 1 else f"over {runs} runs"
    return (
        f"On noise it never saw, {_and(read)}; "
        f"{f'under {classifier}, {_and(gave)}; ' if gave else ''}"
        f"brackets are 95\N{NO-BREAK SPACE}% intervals {scope}."
    )


def _meaning_sentence(tree: xr.DataTree) -> str:
    label, classifier = tree.attrs["label"], tree.attrs["classifier"]
    arms = [str(a) for a in tree["samples"]["arm"].values]
    if "token" not in arms:
        return "Without test images it is not known whether the token works, or what it means."
    shared = agreement(tree)
    if not shared.attrs["images"]:
        high = float(success(tree)["high"].sel(arm="token")[0])
        return (
            f"The token failed: not one of its test images is read as “{label}” by {classifier}; "
            f"of more images up to {percent(high)} may be."
        )
    gain = paired_difference(tree, "token", "start") if "start" in arms else None
    if gain is not None and float(gain["low"][0]) <= 0:
        return (
            f"That is not shown to be more than the start gives on the same noise "
            f"({points(float(gain['difference'][0]))} points "
            f"{bracket(float(gain['low'][0]), float(gain['high'][0]))}), "
            "so nothing should be read into these images."
        )
    if not shared.sizes["judge"]:
        return (
            f"No judge was asked, so a trick that fools only {classifier} cannot be told from "
            f"images that mean “{label}”."
        )
    told = [
        f"{name} agrees on {percent(float(s))} {bracket(float(low), float(high))}"
        for name, s, low, high in zip(
            shared["judge"].values, shared["share"].values, shared["low"].values,
            shared["high"].values, strict=True,
        )
    ]  # fmt: skip
    lifted = gain is None or bool((gain["low"][1:] > 0).all())
    if bool((shared["low"] > 0.5).all()) and lifted:
        verdict = "which speaks for meaning and against a trick of one classifier"
    elif bool((shared["high"] < 0.5).all()):
        verdict = (
            f"so the token found a trick, or a trait that only {classifier} ties to the class; "
            "look at the images to tell which"
        )
    elif bool((shared["low"] > 0.5).all()):
        verdict = (
            "but not every judge is shown to read more of the token images so than of the start, "
            "so meaning is not shown"
        )
    else:
        verdict = "which does not settle whether it is meaning or a trick"
    return (
        f"Of the {shared.attrs['images']} token images that {classifier} reads as “{label}”, "
        f"{_and(told)}, {verdict}."
    )


def _start_sentence(tree: xr.DataTree) -> str:
    path = trajectory(tree)
    kept = path["kept"].values
    starts, own = path["start"].values[kept], path["own_updates"].values[kept]
    runs = len(starts)
    said = []
    for start in dict.fromkeys(starts):
        where = _start_says(str(start))
        moved = sorted(set(own[starts == start].tolist()))
        took = (
            "unchanged" if moved == [0]
            else f"after {moved[0]} updates" if len(moved) == 1
            else f"after {moved[0]} to {moved[-1]} updates"
        )  # fmt: skip
        share = f" in {(starts == start).sum()} of {runs} runs" if runs > 1 else ""
        said.append(f"{where}{share} ({took})")
    sentence = f"The token that was kept began at {_and(said)}"
    label = str(tree.attrs["label"]).lower()
    own_words = [s for s in starts if s != NEUTRAL and set(s.lower().split()) & set(label.split())]
    arms = tree["samples"]
    prompts = arms["prompt"].sel(arm="token").values if "token" in arms["arm"].values else []
    if any(label in str(p).lower() for p in np.ravel(prompts)):
        sentence += (
            "; its prompt holds the class name, so what the generator knows of it is mixed in"
        )
    elif own_words:
        sentence += (
            "; a start word is from the class name, so what the generator knows of it is mixed in"
        )
    stopped = tree.attrs.get("stopped")
    return sentence + (f"; the search was stopped {stopped}." if stopped else ".")


def _start_says(start: str) -> str:
    return "the neutral start" if start == NEUTRAL else f"the word “{start}”"


def _and(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
