"""Labels and their learned tokens, from results, token files or vectors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from torch import Tensor

from inversion_kit import schema
from inversion_kit.arms import ARMS, Arm, arm_of
from inversion_kit.errors import InputError, InversionError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import ClassToken
from inversion_kit.generators.prompts import check_templates, fill
from inversion_kit.generators.token_file import load_token, selected_token
from inversion_kit.paths import local_path
from inversion_kit.wordings import wordings_of

PROMPTS = (
    "a photo of a {token}",
    "a dark photo of a {token}",
    "a bright photo of a {token}",
    "a photo of a small {token}",
)
"""Default prompts, taken in turn, for variety."""


@dataclass(frozen=True)
class Wanted:
    """A label whose images are wanted.

    Parameters
    ----------
    label
        Its name, which judges know.
    index
        Of its folder: the class index of a result, the place in a list of files.
    wording
        What prompts say for it.
    vector
        Its token, float32 ``(1, embed)``; None where prompts name it alone.
    """

    label: str
    index: int
    wording: str
    vector: Tensor | None

    @property
    def token_hash(self) -> str:
        """sha256 of the token's numbers; empty without one."""
        if self.vector is None:
            return ""
        return hashlib.sha256(self.vector.float().cpu().numpy().tobytes()).hexdigest()

    def prompts(self, templates: Sequence[str], arm: Arm) -> list[str]:
        """Templates with the token, the name or both in them, as the arm has them."""
        if arm.token == "none":
            return [one.format(token=self.wording, name=self.wording) for one in templates]
        both = "{token} {name}"
        if _beside_name(arm):
            templates = [t if "{name}" in t else t.replace("{token}", both) for t in templates]
        return [fill(one, name=self.wording) for one in templates]


def check_arm(name: Any) -> Arm:
    """The arm of a name, registered or of a result that was read, where images can be made of it.

    Raises
    ------
    InputError
        There is none, or it has neither a kept token nor the name alone.

    Examples
    --------
    >>> check_arm("token").token
    'learned'
    """
    arm = arm_of(name) if isinstance(name, str) else None
    usable = [one.name for one in ARMS.values() if one.token != "start" and not one.guided]
    if arm is None or arm.token == "start" or arm.guided:
        raise InputError(
            f"arm={name!r}: must be one of {', '.join(map(repr, usable))}, or your own"
        )
    return arm


def _beside_name(arm: Arm) -> bool:
    """Whether its token stands beside the name."""
    return arm.token != "none" and any("{name}" in template for template in arm.templates)


def check_prompts(prompts: Any, arm: Arm) -> tuple[str, ...]:
    """Templates, where they go with the arm; without any those of an arm that has its own.

    Raises
    ------
    InputError
        They do not.

    Examples
    --------
    >>> check_prompts("a red {token}", ARMS["token"])
    ('a red {token}',)
    """
    if prompts is None:
        prompts = arm.templates if arm.token == "learned" and not arm.takes else PROMPTS
    named = arm.token == "none" or _beside_name(arm)
    templates = check_templates(prompts, named=named)
    if len(set(templates)) < len(templates):
        raise InputError(f"prompts={list(templates)}: each once")
    return templates


def wanted_of(
    source: Any, arm: Arm, labels: Sequence[str] | None, generator: Generator
) -> tuple[list[Wanted], list[str]]:
    """Labels with their tokens, and why others of a result have none.

    Raises
    ------
    InputError
        It is no source of tokens, none has a token, or a file does not say its label.
    """
    left: list[str] = []
    if isinstance(source, xr.DataTree):
        wanted, left = _of_result(source, arm, labels)
    else:
        if isinstance(source, (str, os.PathLike)):
            source = [source]
        if isinstance(source, Mapping):
            wanted = [
                Wanted(_name(label), i, wordings_of([_name(label)])[0], _vector(one, generator))
                for i, (label, one) in enumerate(source.items())
            ]
        elif isinstance(source, Sequence):
            wanted = [_of_file(one, i, generator) for i, one in enumerate(source)]
        else:
            raise InputError(
                f"tokens: {type(source).__name__}; expected a result with tokens, a token file, a "
                "list of them, or a mapping from labels to files or vectors"
            )
        if arm.token == "none":
            raise InputError(
                f"arm={arm.name!r}: needs a result, which knows its labels without a token"
            )
        if labels is not None:
            wanted = [one for one in wanted if one.label in labels]
    names = [one.label for one in wanted]
    if missing := [label for label in labels or [] if label not in [*names, *left]]:
        raise InputError(f"labels: {missing[0]!r} is not among the tokens given")
    if not wanted or len(set(names)) < len(names):
        raise InputError(f"tokens: of the labels {names}; expected at least one, each once")
    return wanted, left


def _of_result(
    tree: xr.DataTree, arm: Arm, labels: Sequence[str] | None
) -> tuple[list[Wanted], list[str]]:
    """Of each label of a result the token that its search in this arm kept."""
    tree = schema.validate(tree)
    kept = schema.settings_of(tree).get("wordings")
    said = kept if isinstance(kept, dict) else {}
    every = [str(label) for label in tree["samples"]["label"].values]
    index = dict(zip(every, tree["samples"]["label_index"].values.tolist(), strict=True))
    asked = every if labels is None else [str(label) for label in labels]
    wanted: list[Wanted] = []
    left: list[str] = []
    why: InversionError | None = None
    for label in asked:
        vector = None
        if arm.token != "none":
            try:
                vector = selected_token(tree, label=label, arm=arm.name).vector
            except InversionError as error:
                if label not in index:
                    raise
                left, why = [*left, label], why or error
                continue
        elif label not in index:
            raise InputError(f"labels: {label!r} is not in this result, which has {every[:8]}")
        wanted.append(Wanted(label, int(index[label]), str(said.get(label, label)), vector))
    if not wanted and why is not None:
        raise why
    return wanted, left


def _of_file(path: Any, place: int, generator: Generator) -> Wanted:
    """A token file that says its label."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(
            f"tokens: {type(path).__name__} in a list; a vector does not say its label: give a "
            "mapping, {'stop': vector}"
        )
    vector = load_token(path, generator=generator)
    try:
        with safe_open(local_path(path), "pt") as file:
            kept = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StoreError(f"path={str(path)!r} is not a readable token file: {error}") from error
    if "label" not in kept:
        raise InputError(
            f"tokens: {str(path)!r} does not say its label; give a mapping, {{'stop': path}}"
        )
    made_by = kept.get("generator_hash", generator.hash)
    if made_by != generator.hash:
        raise InputError(
            f"generator: {generator.name!r} has other weights than the one that {str(path)!r} was "
            "learned in; give that"
        )
    label = kept["label"]
    try:
        said = json.loads(kept.get("settings", "{}")).get("wordings")
    except ValueError as error:
        raise StoreError(f"path={str(path)!r}: its settings are no JSON ({error})") from error
    wording = said.get(label, label) if isinstance(said, dict) else label
    return Wanted(label, place, str(wording), vector)


def _vector(one: Any, generator: Generator) -> Tensor:
    if isinstance(one, (str, os.PathLike)):
        return load_token(one, generator=generator)
    if not isinstance(one, (Tensor, ClassToken)):
        raise InputError(
            f"tokens: {type(one).__name__} for a label; expected a token file or a vector (embed,)"
        )
    made = one if isinstance(one, ClassToken) else ClassToken(torch.as_tensor(one))
    return made.vector.detach().clone()


def _name(label: Any) -> str:
    if not isinstance(label, str) or not label.strip():
        raise InputError(f"tokens: label {label!r:.40}; expected a name such as 'stop'")
    return label
