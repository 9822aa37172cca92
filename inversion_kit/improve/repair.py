"""A classifier whose last layer no longer listens to a cue."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from inversion_kit.analysis.improve_words import repaired_says
from inversion_kit.analysis.reading import model_names
from inversion_kit.classifiers.base import Classifier
from inversion_kit.classifiers.convert import as_classifier
from inversion_kit.errors import InputError
from inversion_kit.finding.real import read_real
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.loading import check_whole
from inversion_kit.improve.last_layer import last_layer
from inversion_kit.improve.ties import sources_of, ties_of
from inversion_kit.improve.work import RepairWork
from inversion_kit.paths import folder_to_write
from inversion_kit.plain import as_data
from inversion_kit.search.checks import check_judges
from inversion_kit.storage import durable

SOURCES = 100
"""Classes whose pictures are made, at most; of more a choice by the seed."""
LAYER, TABLE = "last_layer.safetensors", "repair.json"
"""What `Repaired.save` writes."""


@dataclass(frozen=True)
class Repaired:
    """A repaired classifier and what the repair did.

    Parameters
    ----------
    classifier
        The new one; ``classifier.model`` is its module, whose ``state_dict()`` can be saved.
    table
        Along ``finding``: ``label``, ``cue``, ``direction``, ``operator`` and ``dose``. Along
        ``(finding, way, when)``: ``gap``, with ``_low`` and ``_high``; ``gap_change``, ``closed``
        (share of the gap) and ``pictures`` along ``(finding, way)``. Along ``(images, when)``:
        ``accuracy``; ``accuracy_change`` and ``images_read`` along ``images``. Shares in [0, 1].
    pictures
        For `inversion_kit.figures.both_read`: some of those that the painted gap is measured on,
        ``picture`` uint8 ``(finding, row, example, y, x, channel)`` without the cue and with it,
        and ``read`` ``(finding, model, row, example)``, the class before and after.
    layer
        Name of the refitted layer in the module.
    """

    classifier: Classifier
    table: xr.Dataset
    pictures: xr.Dataset
    layer: str

    @property
    def sentences(self) -> list[str]:
        """The table in words, a sentence or two a finding."""
        return repaired_says(self.table)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the new layer as `LAYER` and the table as `TABLE` into a folder.

        The layer's names are those of the module: ``module.load_state_dict(load_file(file),
        strict=False)`` with ``safetensors.torch.load_file`` puts them into the network that was
        repaired.

        Parameters
        ----------
        path
            The folder, there or to be made.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            The folder is no folder of this machine.
        StoreError
            It cannot be written.
        """
        from safetensors.torch import save

        place = folder_to_write(path)
        state = self.classifier.model.state_dict()
        layer = {
            name: value.contiguous()
            for name, value in state.items()
            if name.rpartition(".")[0] == self.layer
        }
        durable.make_folder(place)
        durable.write_file(place / LAYER, save(layer))
        data = as_data(self.table.to_dict())
        durable.write_file(place / TABLE, json.dumps(data, ensure_ascii=False, indent=1).encode())
        return place


def repair(
    model: Any,
    findings: Any,
    *,
    generator: Any = None,
    judges: Sequence[Any] = (),
    labels: Sequence[int | str] | None = None,
    noises: int = 8,
    real: str | os.PathLike[str] | None = None,
    seed: int = 0,
    bank: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Repaired:
    """Refit a classifier's last layer on pictures that break a cue; the given one is untouched.

    The generator paints every class plain and with the cue, and the cue is done to the pixels of
    the plain pictures, at every dose of the operator that the finding was proved with. Each
    picture is labelled as what it shows. The features are frozen, and the last layer is fitted to
    them from its old weights, see `inversion_kit.improve.refit.refit`. What comes of it is measured
    on noise that neither the fit nor a search for findings has seen.

    Parameters
    ----------
    model
        Anything `as_classifier` takes that ends in an ``nn.Linear`` and gives a softmax's logits.
    findings
        A result of `inversion_kit.findings` of this classifier, whose confirmed findings in words
        are repaired together; or ``(label, cue, direction)``, or a list of these: the cue as a
        name in the generator's list or in words of your own, the direction ``"push"`` (others are
        read as the label) or ``"lack"`` (the label is missed).
    generator, judges
        As for `inversion_kit.findings`; those of the result where they are not given. Pictures
        whose source the judges no longer see are left out, of fitting and of measuring.
    labels
        Classes whose pictures are made; all by default, a random `SOURCES` of more. The labels of
        the findings are among them in any case.
    noises
        Pictures of each class and cue to fit to, at least 4: on a quarter of them the strength of
        the fit is chosen. As many others measure it; three times as many where a cue harms fewer
        than four classes.
    real
        Folder of real images with a folder a class, for measuring alone: the cue's operator is
        done to them. That none of their kin (frames of one film, one folder of a scene) was what
        the classifier was trained on is yours to see to.
    seed
        Of all noise.
    bank
        Folder of banks; in the user's cache folder by default.
    progress
        Show pictures made.

    Returns
    -------
    Repaired
        The new classifier, and accuracy and gaps before and after. A gap is the share of pictures
        that the cue moves (read as the label for a push, missed for a lack) less that of plain
        ones, over pictures whose source the judges see both ways.

    Raises
    ------
    InputError
        An argument is not usable, or the classifier has no such last layer; before any image is
        made. Or the judges see no picture of a cue.
    StoreError
        The bank's folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> made = repair(
    ...     "pocket:shortcut", ("keep right", "bright", "lack"), generator="pocket",
    ...     labels=["keep left", "ahead only"], noises=4, bank=tempfile.mkdtemp(), progress=False,
    ... )
    >>> made.classifier.name, made.layer
    ('pocket:shortcut, repaired', 'fc')
    """
    noises, seed = check_whole("noises", noises, 4), check_whole("seed", seed, 0)
    old = as_classifier(model)
    layer = last_layer(old)
    given = _models(findings, generator, judges)
    panel = check_judges(given[1], old)
    made = as_generator(given[0])
    ties, left = ties_of(findings, old, made)
    asked = [old.index(label) for label in _listed(labels, old)]
    images = None if real is None else read_real(real, old.labels, seed)
    if images is not None and images.labels is None:
        raise InputError(
            f"real={str(real)!r}: no folders that say the classes; accuracy needs a folder a class"
        )
    sources = sources_of(ties, asked, SOURCES, seed)
    work = RepairWork(layer, panel, made, bank, ties, sources, noises, seed)
    for tie in ties:
        for name in (old.wordings[i] for i in sources):
            for turn in range(len(tie.cue.prompts)):
                made.check_prompt(tie.cue.of(name, turn))
    work.paint(progress)
    new, table, pictures = work.refit(images)
    table.attrs |= {
        "classifier": old.name,
        "classifier_hash": old.hash,
        "generator": made.name,
        "generator_hash": made.hash,
        "judges": json.dumps([judge.name for judge in panel]),
        "seed": seed,
        "noises": noises,
        "classes": len(sources),
        "left_out": json.dumps(left),
    }
    return Repaired(new, table, pictures, layer.name)


def _listed(labels: Any, classifier: Classifier) -> Sequence[int | str]:
    if labels is None:
        return range(len(classifier.labels))
    listed = [labels] if isinstance(labels, (int, str)) else list(labels)
    if not listed:
        raise InputError("labels=[]: at least one, or leave it out for all")
    return listed


def _models(findings: Any, generator: Any, judges: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """Generator and judges, of the result where they are not given."""
    kept = model_names(findings) if isinstance(findings, xr.DataTree) else {}
    if generator is None and not kept:
        raise InputError(
            "generator: what paints the pictures; give the one of the findings, or 'pocket'"
        )
    generator = kept["generator"] if generator is None else generator
    return generator, judges or kept.get("judges", ())
