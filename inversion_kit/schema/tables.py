"""The shape of a result: what groups, variables, dimensions and attributes a DataTree holds.

`inversion_kit.invert` and `inversion_kit.audit` give the same shape: every variable of a unit
stands along ``(label, arm, seed)`` and then along dimensions of its own.

=============  ===========================  =======================================================
group          own dims                     variables
=============  ===========================  =======================================================
/trajectory    step, sample, class,         loss, gradient_norm, start, probability, image, prompt,
               y, x, channel                noise_seed: the training images of every step
/validation    check, sample, class,        probability, image on the same held-out noise at every
               y, x, channel                check, after ``step`` updates from ``start``;
                                            objective: its mean, where it is not the default one
/token         check, vector, embed, rank   embedding at every check; selected (the check that was
                                            kept), nearest_word, nearest_cosine
/probe         rank                         word, log_probability: known words in the token's place,
                                            best first
/samples       sample, class, judge,        image, probability, judge_probability, prompt,
               y, x, channel, feature       noise_seed, feature on test noise, the same noise for
                                            every arm; trained_probability, the softmax of what gave
                                            the gradient: of the control the shuffled copy;
                                            search_probability, the classifier's of what the search
                                            generator makes of the same prompts and noise, where it
                                            is another one
/ledger        entry                        only with ``method="cma"``: what the images that the
                                            classifier scored (queries) were spent on: kind
                                            ("rehearsal", "identity", "check", "probe",
                                            "generation", "samples"), step, queries so far, score,
                                            best check
/status                                     status: "done", "failed", "stopped" (searched, without
                                            final images) or "missing"; reason; seconds
/projection    point                        where images and tokens lie; in an audit's folder once
                                            the audit was looked at, elsewhere only where
                                            `inversion_kit.analysis.projected` made it
/findings      finding                      only where `inversion_kit.findings` looked: what
                                            the classifier has tied to a label; attributes say what
                                            was looked for
/proof         finding; place, row, example a cue done to the pixels: rates by dose, with those of a
                                            placebo, and pictures; `WHERE` the cue acts
/carriers      finding; class, example,     with real images: share of each class that carries a
               property                     finding's cue, the images that look most as if they did,
                                            and how far the detector that says so can be trusted;
                                            `LOOKS`, measured properties of each class's images
/effects       cue, class, source           the screening: share of sources that a cue moves to each
                                            class, and which sources it makes be missed; how far the
                                            trigger and the last layer's row of a class stand out
=============  ===========================  =======================================================

An arm without a search has /samples alone; one whose token was learned from real images /token too,
with one check. What a unit does not have is filled: NaN, 0, -1 or "".
With ``method="cma"`` a step of /trajectory is a generation: its loss, images and probabilities are
those of its best token, its noise that of all of them, and it has no gradient norm (NaN).

Images are uint8 RGB. Probabilities are the whole softmax, float32. Every dimension but y, x,
channel, vector, embed, feature and rank has a coordinate; ``class`` holds the label names,
``label_index`` along label their places, ``judge_kind`` along judge "classifier" or "view".
"""

from __future__ import annotations

from typing import Any

import numpy as np

VERSION = 4
OUTER = ("label", "arm", "seed")
"""Dimensions in front of every variable of a unit."""
_PIXELS = ("y", "x", "channel")
NEUTRAL = "neutral"
"""Name of the start at the mean of the vocabulary."""
BARE = (*_PIXELS, "map_y", "map_x", "vector", "embed", "feature", "rank")
"""Dimensions without a coordinate."""
STATES = ("done", "failed", "stopped", "missing")
"""What can have become of a unit."""

Table = dict[str, tuple[tuple[str, ...], str]]
"""Variable, its own dims and its kind: f4, f8, u1, i8, b1 or str."""
UNIT: dict[str, Table] = {
    "trajectory": {
        "loss": (("step",), "f4"),
        "gradient_norm": (("step",), "f4"),
        "start": (("step",), "str"),
        "probability": (("step", "sample", "class"), "f4"),
        "image": (("step", "sample", *_PIXELS), "u1"),
        "prompt": (("step", "sample"), "str"),
        "noise_seed": (("step", "sample"), "i8"),
    },
    "validation": {
        "step": (("check",), "i8"),
        "start": (("check",), "str"),
        "objective": (("check",), "f4"),
        "probability": (("check", "sample", "class"), "f4"),
        "image": (("check", "sample", *_PIXELS), "u1"),
        "noise_seed": (("sample",), "i8"),
    },
    "token": {
        "embedding": (("check", "vector", "embed"), "f4"),
        "selected": ((), "i8"),
        "nearest_word": (("rank",), "str"),
        "nearest_cosine": (("rank",), "f4"),
    },
    "probe": {"word": (("rank",), "str"), "log_probability": (("rank",), "f4")},
    "samples": {
        "image": (("sample", *_PIXELS), "u1"),
        "probability": (("sample", "class"), "f4"),
        "trained_probability": (("sample", "class"), "f4"),
        "search_probability": (("sample", "class"), "f4"),
        "judge_probability": (("judge", "sample", "class"), "f4"),
        "prompt": (("sample",), "str"),
        "noise_seed": (("sample",), "i8"),
        "feature": (("sample", "feature"), "f4"),
    },
    "ledger": {
        "kind": (("entry",), "str"),
        "step": (("entry",), "i8"),
        "queries": (("entry",), "i8"),
        "score": (("entry",), "f4"),
        "best": (("entry",), "f4"),
    },
    "status": {"status": ((), "str"), "reason": ((), "str"), "seconds": ((), "f4")},
}
"""One unit (label x arm x seed): group, variable, its own dims and its kind."""
_MAP = ("finding", "map_y", "map_x")
WHERE: Table = {
    "difference": ((*_MAP, "channel"), "f4"),
    "attribution": (_MAP, "f4"),
    "attributed_by": (("finding",), "str"),
    "attributed": (("finding",), "i8"),
    "share_of_change": (("finding",), "f4"),
    "share_of_attribution": (("finding",), "f4"),
}
"""Of /proof: what a cue changes in pictures and how much of the score's change comes from where,
means over ``attributed`` pictures, at most 128 pixels a side; and the shares of both that lie in
the tenth of each picture that changed most."""
ON_REAL: Table = {
    "real_rate": (("finding",), "f4"),
    "real_low": (("finding",), "f4"),
    "real_high": (("finding",), "f4"),
    "real_placebo": (("finding",), "f4"),
    "real_images": (("finding",), "i8"),
}
"""Of /proof: what the chosen dose and its placebo do to ``real_images`` real images; NaN and 0
without any."""
VARIED = ("elsewhere", "scattered", "recoloured")
"""Other ways to do a cue to the pixels: at another place; with its pixels in a random order over
the picture; in opposite colours."""
VARIED_RATES: Table = {
    f"{name}{end}": (("finding",), "f4") for name in VARIED for end in ("", "_low", "_high")
}
"""Of /proof: share of the pictures that hit when the chosen dose is done in each of these ways,
with its 95 % interval; NaN where it is not. Patches have another place, triggers all three."""
LOOKS: Table = {
    "look": (("class", "property"), "f4"),
    "look_spread": (("class", "property"), "f4"),
    "look_images": (("class", "property"), "i8"),
}
"""Of /carriers: mean and standard deviation of what `inversion_kit.analysis.measure` gives of the
real images of each class, at the size of the generator's pictures, and of how many."""
BY_CLIP: Table = {
    "clip_cued": (("cue",), "f4"),
    "clip_plain": (("cue",), "f4"),
    "clip_low": (("cue",), "f4"),
    "clip_high": (("cue",), "f4"),
}
"""Of /effects, where a CLIP was given: share of a cue's pictures of which it says that the prompt
with the cue fits better than the plain one, the same share of the plain pictures on the same noise,
and the 95 % interval of the difference."""
WHOLE: dict[str, Table] = {
    "projection": {
        "space": (("point",), "str"),
        "x": (("point",), "f4"),
        "y": (("point",), "f4"),
        "of_label": (("point",), "str"),
        "of_arm": (("point",), "str"),
        "of_seed": (("point",), "i8"),
        "of_sample": (("point",), "i8"),
        "verdict": (("point",), "str"),
        "read_as": (("point",), "str"),
    },
    "findings": {
        "of_label": (("finding",), "str"),
        "direction": (("finding",), "str"),
        "cue": (("finding",), "str"),
        "lens": (("finding",), "str"),
        "effect": (("finding",), "f4"),
        "low": (("finding",), "f4"),
        "high": (("finding",), "f4"),
        "sources": (("finding",), "i8"),
        "of": (("finding",), "i8"),
        "placebo": (("finding",), "f4"),
        "confirmed": (("finding",), "b1"),
        "verdict": (("finding",), "str"),
        "sentence": (("finding",), "str"),
        "only": (("finding",), "str"),
        "judges": (("finding",), "f4"),
        "chance": (("finding",), "f4"),
        "opinion": (("finding",), "str"),
        "note": (("finding",), "str"),
    },
    "proof": {
        "operator": (("finding",), "str"),
        "undone": (("finding",), "f4"),
        "undone_of": (("finding",), "i8"),
        "dose": (("finding", "place"), "f4"),
        "rate": (("finding", "place"), "f4"),
        "low": (("finding", "place"), "f4"),
        "high": (("finding", "place"), "f4"),
        "placebo": (("finding", "place"), "f4"),
        "placebo_low": (("finding", "place"), "f4"),
        "placebo_high": (("finding", "place"), "f4"),
        "picture": (("finding", "row", "example", *_PIXELS), "u1"),
        "read": (("finding", "row", "example"), "str"),
        "judged": (("finding", "row", "example"), "str"),
        **VARIED_RATES,
        **WHERE,
        **ON_REAL,
    },
    "carriers": {
        "why": (("finding",), "str"),
        "auc": (("finding",), "f4"),
        "false": (("finding",), "f4"),
        "passed": (("finding",), "f4"),
        "recall": (("finding",), "f4"),
        "share": (("finding", "class"), "f4"),
        "low": (("finding", "class"), "f4"),
        "high": (("finding", "class"), "f4"),
        "images": (("finding", "class"), "i8"),
        "file": (("finding", "example"), "str"),
        "of_label": (("finding", "example"), "str"),
        "score": (("finding", "example"), "f4"),
        "picture": (("finding", "example", *_PIXELS), "u1"),
        **LOOKS,
    },
    "effects": {
        "kind": (("cue",), "str"),
        "painted": (("cue",), "f4"),
        "reworded": (("cue",), "f4"),
        **BY_CLIP,
        "seen": (("cue",), "f4"),
        "push": (("cue", "class"), "f4"),
        "trigger": (("class",), "f4"),
        "scan": (("class",), "f4"),
        "lost": (("cue", "source"), "f4"),
    },
}
"""Groups of a result as a whole, without a unit's dimensions, and only where they were made."""
WHOLE_ATTRIBUTES: dict[str, dict[str, type]] = {
    "projection": {"image_method": str, "token_method": str, "left_out": int},
    "carriers": {"labelled": int, "images": int, "files": int, "unread": int},
}
"""Attributes that such a group must have."""
SEARCHED = ("trajectory", "validation", "token", "probe")
"""Groups that only a unit with a search has."""
STORED = tuple(group for group in UNIT if group != "status")
"""Groups that the files of a unit may hold."""
FILL: dict[str, Any] = {"f4": np.nan, "u1": 0, "i8": -1, "str": ""}
"""What stands where a unit has nothing: after its last step, or where it is missing."""
OPTIONAL = {
    *(("proof", name) for name in (*WHERE, *ON_REAL, *VARIED_RATES)),
    *(("proof", name) for name in ("undone_of", "placebo_low", "placebo_high", "read", "judged")),
    *(("effects", name) for name in (*BY_CLIP, "reworded")),
    *(("carriers", name) for name in LOOKS),
    ("findings", "opinion"),
    ("findings", "note"),
    ("validation", "objective"),
    ("samples", "feature"),
    ("samples", "judge_probability"),
    ("samples", "trained_probability"),
    ("samples", "search_probability"),
}
OPTIONAL_GROUPS = {"ledger", *WHOLE}
"""Groups that some results have no use for."""

ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
    "classifier": str,
    "classifier_hash": str,
    "generator": str,
    "generator_hash": str,
    "judges": str,
    "judge_hashes": str,
    "settings": str,
    "versions": str,
    "created": str,
    "seconds": float,
}
"""Root attributes and their types. ``judges`` (names along judge, views among them),
``judge_hashes``, ``settings`` and ``versions`` are JSON. Settings are those of
`inversion_kit.settings.Settings`, and what else makes the result what it is: sources of the models,
sampler, token layout, preprocessing and its measured parity, the objective. Where the user stopped
it, ``stopped`` says after what; where a gradient did not fit into memory,
``gradient_checkpointing`` names the networks that computed their activations twice for it."""
