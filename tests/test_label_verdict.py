"""What findings, and the images of its token, say of each label."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from inversion_kit import analysis
from inversion_kit.analysis.label_verdict import VERDICT_SIGNS, label_verdict
from inversion_kit.errors import InputError
from inversion_kit.figures import projection, projection_spec
from inversion_kit.testing import synthetic, synthetic_findings


def finding(verdict: str, *, direction: str = "push", confirmed: bool = True, **more):
    return {
        "cue": "snow",
        "direction": direction,
        "effect": 0.9,
        "low": 0.7,
        "high": 1.0,
        "only": "",
        "verdict": verdict,
        "confirmed": confirmed,
        **more,
    }


def row(*findings, success=1.0, low=0.7, meant=1.0, meant_low=0.7, kinds=(), reason="…"):
    share = {"value": success, "low": low, "high": 1.0}
    index = {"value": meant, "low": meant_low, "high": 1.0}
    return {
        "findings": list(findings),
        "attention": [{"kind": kind, "reason": reason} for kind in kinds],
        "images": 8,
        "success": share,
        "semantic_index": index,
    }


JUDGED = {"arm": "name", "scorers": [{"role": "audited"}, {"role": "classifier"}]}
TOKEN = {**JUDGED, "arm": "token"}


@pytest.mark.parametrize(
    ("given", "data", "cues", "wanted", "said"),
    [
        (row(finding("backdoor-like")), JUDGED, 9, "backdoor-like", "With “snow” 90"),
        (row(finding("shortcut", only="a\nb")), JUDGED, 9, "shortcut", "of “a” and “b”"),
        (row(finding("lack", direction="lack")), JUDGED, 9, "lack", "of its own pictures"),
        (row(finding("lack"), finding("shortcut")), JUDGED, 9, "shortcut", "1 more finding of it"),
        (row(finding("uncertain", confirmed=False)), JUDGED, 9, "uncertain", "do not both show"),
        (
            row(finding("natural confusion", confirmed=False)),
            JUDGED,
            9,
            "natural confusion",
            "the judges make the same mistake",
        ),
        (row(kinds=["trick"]), TOKEN, 9, "adversarial only", "Its token is read as it in 100"),
        (row(kinds=["trick"]), TOKEN, None, "adversarial only", "held-out classifiers confirm"),
        (row(kinds=["trick"], meant=0, meant_low=0), JUDGED, 9, "uncertain", "None of 9 cues"),
        (row(finding("lack"), kinds=["trick"]), TOKEN, 9, "lack", "by words and by pixels"),
        (row(), JUDGED, 9, "as expected", "None of 9 cues is tied to it; of its 8 images 100"),
        (row(), JUDGED, None, "uncertain", "No cues were looked for."),
        (row(low=0.4), JUDGED, 9, "uncertain", "not shown that most"),
        (row(meant_low=0.4), JUDGED, 9, "uncertain", "not shown that most"),
        (row(kinds=["mixed up"], reason="30 % are “b”"), JUDGED, 9, "uncertain", "30 % are “b”"),
        ({**row(), "success": None}, JUDGED, 9, "uncertain", "no image was made"),
    ],
)
def test_each_verdict_has_its_ground(given, data, cues, wanted, said):
    verdict, sentence = label_verdict(given, data, cues)
    assert verdict == wanted
    assert said in sentence
    assert sentence.endswith(".")
    assert verdict in VERDICT_SIGNS


def test_without_judges_most_images_are_enough():
    given = {**row(), "semantic_index": None}
    verdict, sentence = label_verdict(given, {"arm": "name", "scorers": JUDGED["scorers"][:1]}, 9)
    assert verdict == "as expected"
    assert "held-out" not in sentence


def audit(**given) -> xr.Dataset:
    made = synthetic(labels=4, samples=24, outcomes=("meaning", "meaning", "meaning", "trick"))
    return synthetic_findings(made, **given)


def test_every_label_of_a_result_has_one():
    told = analysis.label_verdicts(audit())
    wanted = ["shortcut", "uncertain", "as expected", "adversarial only"]
    assert told["verdict"].values.tolist() == wanted
    assert all(told["sentence"].values)
    bare = analysis.label_verdicts(synthetic(labels=4, samples=24, outcomes=("meaning",)))
    assert set(bare["verdict"].values) == {"uncertain"}


def test_a_map_is_coloured_by_the_finding_of_each_label():
    tree = audit()
    points = analysis.project(tree, method="pca")
    with pytest.raises(InputError, match="colour='finding': give the result itself"):
        projection_spec(points, colour="finding")
    of = dict(zip(*(analysis.label_verdicts(tree)[n].values for n in ("label", "verdict"))))  # noqa: B905
    labels = analysis.stored(analysis.projected(tree, method="pca"))["of_label"].values
    figure = projection(analysis.projected(tree, method="pca"), colour="finding")
    for trace in figure.data:
        assert {of[labels[i]] for i in trace.customdata} == {trace.name}
    assert {trace.name for trace in figure.data} == set(of.values())
    shown = [(trace.marker.color, trace.marker.symbol) for trace in figure.data]
    assert len(set(shown)) == len({trace.name for trace in figure.data})
    assert np.isin(labels, list(of)).all()


def test_every_verdict_has_a_mark_that_is_drawn_without_scripts():
    from inversion_kit.figures import scatter
    from inversion_kit.figures.static.marks import mark_at

    assert set(scatter._FINDINGS) == {*VERDICT_SIGNS, ""}
    for ink, symbol in [*scatter._FINDINGS.values(), *scatter._LOOKS.values()]:
        assert mark_at(1, 2, (symbol, ink, 5)).startswith("M1 2")
