"""What a result says, in three sentences that claim no more than the intervals carry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from inversion_kit.analysis.looks import KINDS, control_says
from inversion_kit.analysis.reading import reads, whole
from inversion_kit.analysis.rows import known
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
)
from inversion_kit.arm_roles import control_arm, name_arm, start_arm
from inversion_kit.arms import arm_of
from inversion_kit.schema import NEUTRAL

_MANY = 20
"""Labels from which a few stand out by chance."""
_NOTHING = dict.fromkeys(("value", "low", "high"), math.nan)


def sentences(
    tree: xr.DataTree, arm: str | None = None, *, read: xr.Dataset | None = None
) -> list[str]:
    """Three sentences for people: how often it worked, what that means, and a third.

    Of one label the third says where the kept token began, of several what to look at first. An
    effect is claimed only where the token's images beat the control's (without one, the start's)
    on the same noise, meaning only where judges confirm more than half of the images, a trick only
    where they confirm less.

    Parameters
    ----------
    tree
        A result of one label or of many.
    arm
        The main one, see `inversion_kit.arm_roles.main_arm`, where not given.
    read
        What `reads` gave of it; made here where not given.

    Returns
    -------
    list of str
        Plain text; shares in percent, with their 95 % intervals in brackets.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> sentences(synthetic(labels=3, samples=32))[2][:39]
    'No label of those with images stands ou'
    """
    tree = whole(tree)
    read = reads(tree) if read is None else read
    return say(tree, known(read, arm, detail=read.sizes["label"] == 1))


def say(tree: xr.DataTree, data: dict[str, Any]) -> list[str]:
    """`sentences` of what is known; of one label with details."""
    one, units = len(data["labels"]) == 1, data["units"]
    if one:
        parts = [_success(tree, data), _meaning_of_one(data), _beginning(tree, data)]
    else:
        parts = [_success(tree, data), _meaning(data), _first_looks(data)]
    if units["missing"]:
        parts[2] += f"; {units['missing']} of {units['all']} units have not been run"
    if units["failed"] and one:
        parts[2] += f"; {units['failed']} of {units['all']} units failed"
    if stopped := tree.attrs.get("stopped"):
        parts[2] += f"; the search was stopped {stopped}"
    return [f"{part}." for part in parts]


def say_label(row: dict[str, Any], data: dict[str, Any]) -> str:
    """One sentence on a label: how much is read so, who confirms it, what the controls give."""
    arm, control = data["arm"], data["control"]
    if not row["images"]:
        return f"No image of the arm “{arm}” was made, so nothing is known of this label."
    parts = [
        f"{_classifier(data)} reads {rate(**row['success'])} of {row['images']} images on new "
        "noise as the label"
    ]
    if meant := row["semantic_index"]:
        parts.append(f"held-out classifiers confirm {rate(**meant)} of those {row['reached']}")
    elif row["reached"]:
        parts.append("no held-out classifier was asked whether they mean it")
    if (named := row["name_success"]) and arm != name_arm(data["arms"]):
        parts.append(f"the plain prompt with the name gives {rate(**named)}")
    if gain := row["gain"]:
        beaten = arm_of(control)
        shuffled = beaten is not None and beaten.control
        over = "a token trained on shuffled weights" if shuffled else control_says(control)
        change = f"{points(gain['value'])} points {bracket(gain['low'], gain['high'])}"
        parts.append(f"the gain over {over} is {change}")
    return "; ".join(parts) + "."


def _success(tree: xr.DataTree, data: dict[str, Any]) -> str:
    """How often it worked: of one label by the judges too, and with the controls."""
    rows, overall, images = data["labels"], data["overall"], _images(data)
    own, classifier = overall[data["arm"]], _classifier(data)
    labels, reached = len(rows), sum(row["images"] > 0 for row in rows)
    if not reached:
        return _nothing(tree, data)
    share = rate(**own["scorers"][classifier])
    said = and_list(
        [
            f"{_condition(tree, data, arm)} gave {rate(**overall[arm]['scorers'][classifier])}"
            for arm in data["gains"]
            if overall[arm]["images"]
        ]
    )
    runs = max(row["arms"][data["arm"]]["seeds"] for row in rows)
    if labels == 1:
        judged = [(judge, own["scorers"][judge] or _NOTHING) for judge in _judges(data)]
        by = [f"{rate(**part)} by the judge {judge}" for judge, part in judged]
        read = f"{share} of the {images} are read as “{rows[0]['label']}” by {classifier}"
        read = and_list([read, *by])
        said = said and f"under {classifier}, {said}"
    else:
        left = f" ({labels - reached} of {labels} labels have none)" if reached < labels else ""
        shown = sum(bool(row["success"]) and row["success"]["low"] > 0.5 for row in rows)
        read = (
            f"{share} of the {own['images']} {images} of {count(reached, 'label')}{left} are read "
            f"as their label by {classifier}; for {shown} of {reached} it is shown to be more than "
            "half"
        )
    scope = "for other noise only, from one run"
    if runs > 1:
        scope = f"over {'' if labels == 1 else 'up to '}{runs} runs"
    return (
        f"On noise it never saw, {read}; {said + '; ' if said else ''}brackets are "
        f"95\N{NO-BREAK SPACE}% intervals {scope}"
    )


def _nothing(tree: xr.DataTree, data: dict[str, Any]) -> str:
    """What is known without test images."""
    arm, labels = data["arm"], [row["label"] for row in data["labels"]]
    of = f"“{labels[0]}”" if len(labels) == 1 else f"the {count(len(labels), 'label')}"
    states = tree["status"]["status"].values[:, data["arms"].index(arm)]
    if len(labels) == 1 and (states == "stopped").any():
        value = float(trajectory(tree, arm=arm)["value"])
        return (
            f"No test images of the token were made; on the noise that chose it, "
            f"{_classifier(data)} gives {of} a mean probability of {percent(value)}, which "
            "flatters the token"
        )
    return f"No unit of the arm “{arm}” is done, so nothing is known of {of}"


def _meaning(data: dict[str, Any]) -> str:
    """Whether many labels' images mean them."""
    images, classifier = _images(data), _classifier(data)
    reached = [row for row in data["labels"] if row["reached"]]
    if not reached:
        return (
            f"No {images[:-1]} is read as its label by {classifier}, so there is nothing to judge"
        )
    if not _judges(data):
        return _unjudged(data, "their label")
    meant = [(row["label"], row["semantic_index"] or _NOTHING) for row in reached]
    tricks = [label for label, index in meant if index["high"] < 0.5]
    shown = sum(index["low"] > 0.5 for _, index in meant)
    unsettled = len(reached) - shown - len(tricks)
    parts = [
        f"for {shown} of {count(len(reached), 'label')} with such images this is shown to be more "
        "than half"
    ]
    if tricks:
        parts.append(
            f"for {len(tricks)} less than half ({some(tricks, 3)}: a trick, or a trait that only "
            f"{classifier} ties to the class)"
        )
    if unsettled:
        parts.append(f"for {unsettled} the images do not settle it")
    said, n = rate(**data["semantic_index"] or _NOTHING), sum(row["reached"] for row in reached)
    return (
        f"Held-out classifiers confirm {said} of the {n} {images} that {classifier} reads as "
        f"their label; {and_list(parts)}"
    )


def _meaning_of_one(data: dict[str, Any]) -> str:
    """Whether one label's images mean it, by each judge."""
    (row,), classifier, control = data["labels"], _classifier(data), data["control"]
    label = f"“{row['label']}”"
    if not row["images"]:
        return "Without test images it is not known whether the token works, or what it means"
    if not row["reached"]:
        return (
            f"The {_subject(data)} failed: not one of its test images is read as {label} by "
            f"{classifier}; of more images up to {percent(row['success']['high'])} may be"
        )
    gain, judges = row["gain"], _judges(data)
    if gain and not gain["low"] > 0:
        return (
            f"That is not shown to be more than {control_says(control)} gives on the same noise "
            f"({points(gain['value'])} points {bracket(gain['low'], gain['high'])}), so nothing "
            "should be read into these images"
        )
    if not judges:
        return _unjudged(data, label)
    shares = [row["per_judge"][judge] or _NOTHING for judge in judges]
    agree = [
        f"{judge} agrees on {percent(share['value'])} {bracket(share['low'], share['high'])}"
        for judge, share in zip(judges, shares, strict=True)
    ]
    lifted = [(row["differences"][control][j] or _NOTHING)["low"] > 0 for j in judges if gain]
    if all(share["low"] > 0.5 for share in shares):
        meaning = "which speaks for meaning and against a trick of one classifier"
        if not all(lifted):
            meaning = (
                f"but not every judge is shown to read more of the token images so than of those "
                f"that {control_says(control)} gives, so meaning is not shown"
            )
    elif all(share["high"] < 0.5 for share in shares):
        meaning = (
            f"so the token found a trick, or a trait that only {classifier} ties to the class; "
            "look at the images to tell which"
        )
    else:
        meaning = "which does not settle whether it is meaning or a trick"
    return (
        f"Of the {row['reached']} {_images(data)} that {classifier} reads as {label}, "
        f"{and_list(agree)}, {meaning}"
    )


def _unjudged(data: dict[str, Any], what: str) -> str:
    return (
        f"No held-out classifier was asked, so a trick that fools only {_classifier(data)} cannot "
        f"be told from images that mean {what}"
    )


def _beginning(tree: xr.DataTree, data: dict[str, Any]) -> str:
    """Where the tokens of one label began that were kept. No softmax is read."""
    if _subject(data) == "prompt":
        return "No token was searched for"
    at = {"label": 0, "arm": data["arms"].index(data["arm"])}
    selected = tree["token"]["selected"].isel(at).values
    runs = np.flatnonzero(selected >= 0)
    if not len(runs):
        return f"No search of the arm “{data['arm']}” is done"
    every, updates = (tree["validation"][n].isel(at).values for n in ("start", "step"))
    steps = own_updates(every, updates)[runs, selected[runs]]
    starts = every.astype(str)[runs, selected[runs]]
    parts = []
    for start in dict.fromkeys(starts.tolist()):
        moved = sorted(set(steps[starts == start].tolist()))
        after = f"{moved[0]} updates" if len(moved) == 1 else f"{moved[0]} to {moved[-1]} updates"
        after = "unchanged" if moved == [0] else f"after {after}"
        share = f" in {(starts == start).sum()} of {len(runs)} runs" if len(runs) > 1 else ""
        parts.append(f"{_start(start)}{share} ({after})")
    label = data["labels"][0]["label"].lower()
    prompts = tree["samples"]["prompt"].isel(at).values.ravel()
    helped = [s for s in starts if s != NEUTRAL and set(s.lower().split()) & set(label.split())]
    mixed = "so what the generator knows of it is mixed in"
    sentence = f"The token that was kept began at {and_list(parts)}"
    if any(label in str(prompt).lower() for prompt in prompts):
        return f"{sentence}; its prompt holds the class name, {mixed}"
    return f"{sentence}; a start word is from the class name, {mixed}" if helped else sentence


def _first_looks(data: dict[str, Any]) -> str:
    """What to look at first among many labels."""
    named: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for one in data["attention"]:
        named[one["kind"]].append(one["label"])
    few = 3 if sum(map(bool, named.values())) <= 2 else 1
    parts = [f"{kind}: {some(names, few)}" for kind, names in named.items() if names]
    if not parts:
        return (
            "No label of those with images stands out as one to look at; that is no proof that "
            "there is none"
        )
    chance = " (label by label at 95\N{NO-BREAK SPACE}%: of so many, a few by chance)"
    many = len(data["labels"]) >= _MANY
    return f"Look first at these{chance if many else ''}: {'; '.join(parts)}"


def _condition(tree: xr.DataTree, data: dict[str, Any], arm: str) -> str:
    """A control in words: the usual ones by what they are, others by their name."""
    if arm == name_arm(data["arms"]):
        return "a plain prompt with the class name"
    if arm == control_arm(data["arms"]):
        return "a token trained against shuffled weights"
    if arm != start_arm(data["arms"]):
        return f"the {arm_words(arm)}"
    starts = set()
    if len(data["labels"]) == 1:
        first = tree["validation"]["start"].isel(label=0, arm=searched_place(tree)).values[:, :1]
        starts = {str(start) for start in first.ravel()} - {""}
    return and_list([_start(start) for start in sorted(starts)]) or "the start"


def _start(start: str) -> str:
    return "the neutral start" if start == NEUTRAL else f"the word “{start}”"


def _subject(data: dict[str, Any]) -> str:
    arm = arm_of(data["arm"])
    return "prompt" if arm is not None and arm.token == "none" else "token"


def _images(data: dict[str, Any]) -> str:
    return f"{_subject(data)} images"


def _classifier(data: dict[str, Any]) -> str:
    return str(data["scorers"][0]["name"])


def _judges(data: dict[str, Any]) -> list[str]:
    return [one["name"] for one in data["scorers"] if one["role"] == "classifier"]
