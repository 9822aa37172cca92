"""What a result says, in three sentences that claim no more than the intervals carry."""

from __future__ import annotations

import numpy as np
import xarray as xr

from inversion_kit.analysis.evidence import Evidence
from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.looks import KINDS, Attention, baseline_says, looks
from inversion_kit.analysis.reading import whole
from inversion_kit.analysis.search_path import own_updates, searched_place, trajectory
from inversion_kit.analysis.words import (
    and_list,
    arm_words,
    bracket,
    count,
    percent,
    points,
    rate,
    some,
    start_says,
)
from inversion_kit.arms import ARMS, control_arm, controls, name_arm, start_arm
from inversion_kit.schema import NEUTRAL

_MANY = 20
"""Labels from which a few stand out by chance."""


def sentences(
    tree: xr.DataTree,
    arm: str | None = None,
    *,
    n_boot: int = N_BOOT,
    seed: int = 0,
    read: xr.Dataset | None = None,
) -> list[str]:
    """Three sentences for people: how often it worked, what that means, and a third.

    Of one label the third says where the kept token began, of several what to look at first. An
    effect is claimed only where the token's images beat the control's (without one, the start's)
    on the same noise, meaning only where judges confirm more than half of the images, a trick only
    where they confirm less.

    Parameters
    ----------
    tree
        A result.
    arm
        The main arm where not given.
    n_boot, seed
        Resamples of the bootstraps, and their seed.
    read
        What `reads` gave of the result, where it is known.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> sentences(synthetic(labels=3, samples=32))[2][:39]
    'No label of those with images stands ou'
    """
    tree = whole(tree)
    known = Evidence(tree if read is None else read, arm, n_boot=n_boot, seed=seed)
    return say(tree, known, looks(known))


def say(
    tree: xr.DataTree, known: Evidence, listed: list[Attention], path: xr.Dataset | None = None
) -> list[str]:
    """`sentences` of what is known; ``path`` is the `trajectory` of one label."""
    if known.read.sizes["label"] == 1:
        parts = [_success(tree, known, path), _meaning_of_one(known), _beginning(tree, known)]
    else:
        parts = [_success(tree, known), _meaning(known), _first_looks(known, listed)]
    status = known.own["status"]
    gaps = [(int((status == word).sum()), word) for word in ("missing", "failed")]
    for n, word in gaps if known.read.sizes["label"] == 1 else gaps[:1]:
        said = {"missing": "have not been run", "failed": "failed"}[word]
        parts[2] += f"; {n} of {status.size} units {said}" if n else ""
    stopped = tree.attrs.get("stopped")
    parts[2] += f"; the search was stopped {stopped}" if stopped else ""
    return [f"{part}." for part in parts]


def first_start(tree: xr.DataTree) -> str:
    """Where the searches of a result of one label began, in words.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> first_start(synthetic())
    'the neutral start'
    """
    tree = whole(tree)
    start = tree["validation"]["start"].isel(label=0, arm=searched_place(tree)).values
    starts = {str(s) for s in start[:, :1].ravel()} - {""}
    return and_list([_start(s) for s in sorted(starts)]) or "the start"


def _success(tree: xr.DataTree, known: Evidence, path: xr.Dataset | None = None) -> str:
    """How often it worked: by the judges too of one label, with the controls that there are."""
    classifier, images = known.read.attrs["classifier"], known.own["images"]
    labels, reached = len(images), int((images > 0).sum())
    one = labels == 1
    if not reached:
        return _nothing(tree, known, path)
    overall = {n: known.overall[n].values for n in ("share", "low", "high", "images")}

    def share(arm: str, scorer: int = 0) -> str:
        at = known.arms.index(arm), scorer
        return rate(*(float(overall[n][at]) for n in ("share", "low", "high")))

    judges = [
        f"{share(known.arm, i)} by the judge {name}"
        for i, (name, role) in enumerate(_scorers(known))
        if role == "classifier"
    ]
    gave = [
        f"{_condition(tree, known, arm)} gave {share(arm)}"
        for arm in controls(known.arms, known.arm)
        if overall["images"][known.arms.index(arm), 0]
    ]
    runs = int(known.own["seeds"].max())
    scope = f"over {runs} runs" if one else f"over up to {runs} runs"
    scope = "for other noise only, from one run" if runs == 1 else scope
    if one:
        read = f"{share(known.arm)} of the {_images(known)} are read as “{_label(known)}” by "
        read = and_list([read + classifier, *judges])
        others = f"under {classifier}, {and_list(gave)}; " if gave else ""
    else:
        left = f" ({labels - reached} of {labels} labels have none)" if reached < labels else ""
        shown = int((known.own["low"] > 0.5).sum())
        read = (
            f"{share(known.arm)} of the {overall['images'][known.at, 0]} {_images(known)} of "
            f"{count(reached, 'label')}{left} are read as their label by {classifier}; for "
            f"{shown} of {reached} it is shown to be more than half"
        )
        others = f"{and_list(gave)}; " if gave else ""
    return (
        f"On noise it never saw, {read}; {others}brackets are 95\N{NO-BREAK SPACE}% intervals "
        f"{scope}"
    )


def _nothing(tree: xr.DataTree, known: Evidence, path: xr.Dataset | None) -> str:
    """What is known without test images."""
    labels = len(known.own["images"])
    if labels == 1 and (known.own["status"][0, known.at] == "stopped").any():
        path = trajectory(tree, arm=known.arm) if path is None else path
        return (
            f"No test images of the token were made; on the noise that chose it, "
            f"{known.read.attrs['classifier']} gives “{_label(known)}” a mean probability of "
            f"{percent(float(path['value']))}, which flatters the token"
        )
    of = f"“{_label(known)}”" if labels == 1 else f"the {count(labels, 'label')}"
    return f"No unit of the arm “{known.arm}” is done, so nothing is known of {of}"


def _meaning(known: Evidence) -> str:
    """Whether many labels' images mean them."""
    meant, classifier = known.meant, known.read.attrs["classifier"]
    n = int(meant["overall_images"])
    if not n:
        return (
            f"No {_images(known)[:-1]} is read as its label by {classifier}, so there is nothing "
            "to judge"
        )
    if not meant.sizes["judge"]:
        return _unjudged(known, "their label")
    tricks = [str(x) for x in meant["label"].values[meant["high"].values < 0.5]]
    shown, reached = int((meant["low"] > 0.5).sum()), int((meant["images"] > 0).sum())
    unsettled = reached - shown - len(tricks)
    parts = [
        f"for {shown} of {count(reached, 'label')} with such images this is shown to be more than "
        "half"
    ]
    if tricks:
        parts.append(
            f"for {len(tricks)} less than half ({some(tricks, 3)}: a trick, or a trait that only "
            f"{classifier} ties to the class)"
        )
    if unsettled:
        parts.append(f"for {unsettled} the images do not settle it")
    said = rate(*(float(meant[f"overall_{n}"]) for n in ("index", "low", "high")))
    return (
        f"Held-out classifiers confirm {said} of the {n} {_images(known)} that {classifier} reads "
        f"as their label; {and_list(parts)}"
    )


def _meaning_of_one(known: Evidence) -> str:
    """Whether one label's images mean it, by each judge."""
    label, classifier = _label(known), known.read.attrs["classifier"]
    meant = known.meant.isel(label=0)
    if not known.own["images"][0]:
        return "Without test images it is not known whether the token works, or what it means"
    if not meant["images"]:
        return (
            f"The {_subject(known)} failed: not one of its test images is read as “{label}” by "
            f"{classifier}; of more images up to {percent(float(known.own['high'][0]))} may be"
        )
    gain = known.differences.get(known.baseline or "")
    lifted = np.ones(known.read.sizes["scorer"], bool)
    if gain is not None and gain["pairs"].values[0, 0]:
        value, low, high = (gain[n].values[0] for n in ("difference", "low", "high"))
        lifted = low > 0
    if not lifted[0]:
        return (
            f"That is not shown to be more than {baseline_says(known)} gives on the same noise "
            f"({points(value[0])} points {bracket(low[0], high[0])}), so nothing should be read "
            "into these images"
        )
    if not meant.sizes["judge"]:
        return _unjudged(known, f"“{label}”")
    share, low, high = (meant[f"per_judge{end}"].values for end in ("", "_low", "_high"))
    agree = [
        f"{name} agrees on {percent(float(s))} {bracket(float(a), float(b))}"
        for name, s, a, b in zip(meant["judge"].values, share, low, high, strict=True)
    ]
    judged = [i for i, (_, role) in enumerate(_scorers(known)) if role == "classifier"]
    if bool((low > 0.5).all()) and lifted[judged].all():
        meaning = "which speaks for meaning and against a trick of one classifier"
    elif bool((high < 0.5).all()):
        meaning = (
            f"so the token found a trick, or a trait that only {classifier} ties to the class; "
            "look at the images to tell which"
        )
    elif bool((low > 0.5).all()):
        meaning = (
            f"but not every judge is shown to read more of the token images so than of those that "
            f"{baseline_says(known)} gives, so meaning is not shown"
        )
    else:
        meaning = "which does not settle whether it is meaning or a trick"
    return (
        f"Of the {int(meant['images'])} {_images(known)} that {classifier} reads as “{label}”, "
        f"{and_list(agree)}, {meaning}"
    )


def _beginning(tree: xr.DataTree, known: Evidence) -> str:
    """Where the tokens of one label began that were kept. No softmax is read."""
    if _subject(known) == "prompt":
        return "No token was searched for"
    at = {"label": 0, "arm": known.at}
    selected = tree["token"]["selected"].isel(at).values
    runs = np.flatnonzero(selected >= 0)
    if not len(runs):
        return f"No search of the arm “{known.arm}” is done"
    data = tree["validation"].to_dataset(inherit=False)[["start", "step"]].isel(at)
    steps = own_updates(data["start"].values, data["step"].values)[runs, selected[runs]]
    starts = data["start"].values.astype(str)[runs, selected[runs]]
    parts = []
    for start in dict.fromkeys(starts.tolist()):
        moved = sorted(set(steps[starts == start].tolist()))
        after = f"{moved[0]} updates" if len(moved) == 1 else f"{moved[0]} to {moved[-1]} updates"
        after = "unchanged" if moved == [0] else f"after {after}"
        share = f" in {(starts == start).sum()} of {len(runs)} runs" if len(runs) > 1 else ""
        parts.append(f"{_start(start)}{share} ({after})")
    label = _label(known).lower()
    prompts = tree["samples"]["prompt"].isel(at).values.ravel()
    helped = [s for s in starts if s != NEUTRAL and set(s.lower().split()) & set(label.split())]
    mixed = "so what the generator knows of it is mixed in"
    sentence = f"The token that was kept began at {and_list(parts)}"
    if any(label in str(prompt).lower() for prompt in prompts):
        return f"{sentence}; its prompt holds the class name, {mixed}"
    return f"{sentence}; a start word is from the class name, {mixed}" if helped else sentence


def _first_looks(known: Evidence, listed: list[Attention]) -> str:
    """What to look at first among many labels."""
    named = {kind: list(dict.fromkeys(a.label for a in listed if a.kind == kind)) for kind in KINDS}
    few = 3 if sum(map(bool, named.values())) <= 2 else 1
    parts = [f"{kind}: {some(names, few)}" for kind, names in named.items() if names]
    if not parts:
        return (
            "No label of those with images stands out as one to look at; that is no proof that "
            "there is none"
        )
    chance = " (label by label at 95\N{NO-BREAK SPACE}%: of so many, a few by chance)"
    many = known.read.sizes["label"] >= _MANY
    return f"Look first at these{chance if many else ''}: {'; '.join(parts)}"


def _unjudged(known: Evidence, what: str) -> str:
    return (
        f"No held-out classifier was asked, so a trick that fools only "
        f"{known.read.attrs['classifier']} cannot be told from images that mean {what}"
    )


def _condition(tree: xr.DataTree, known: Evidence, arm: str) -> str:
    """A control in words: the usual ones by what they are, others by their name."""
    if arm == name_arm(known.arms):
        return "a plain prompt with the class name"
    if arm == control_arm(known.arms):
        return "a token trained against shuffled weights"
    if arm == start_arm(known.arms):
        return first_start(tree) if known.read.sizes["label"] == 1 else "the start"
    return f"the {arm_words(arm)}"


def _scorers(known: Evidence) -> list[tuple[str, str]]:
    read = known.read
    return [
        (str(n), str(r)) for n, r in zip(read["scorer"].values, read["role"].values, strict=True)
    ]


def _label(known: Evidence) -> str:
    return str(known.read["label"].values[0])


def _subject(known: Evidence) -> str:
    return "prompt" if known.arm in ARMS and ARMS[known.arm].token == "none" else "token"


def _images(known: Evidence) -> str:
    return f"{_subject(known)} images"


def _start(start: str) -> str:
    return f"the {start_says(start)}" if start == NEUTRAL else f"the word “{start}”"
