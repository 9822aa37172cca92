"""What is said to be painted: by how much pictures change, and by what a CLIP sees in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import xarray as xr
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit import analysis
from inversion_kit.bank.bank import Bank
from inversion_kit.bank.cues import PLACEBOS, PLAIN_CUE, POCKET, check_cues
from inversion_kit.cli import app
from inversion_kit.errors import ClassifierUnavailableError, InputError
from inversion_kit.finding.datasets import reach_variables
from inversion_kit.finding.reach import as_clip, changed, reach
from inversion_kit.finding.screen import Sources
from inversion_kit.schema import BY_CLIP
from inversion_kit.testing import synthetic, synthetic_findings

NAMES = ["stop", "yield", "roundabout"]
LONG = "with a yellow sticker and a blue sticker and a red sticker and a green frame"
CUES = (
    *(cue for cue in POCKET if cue.name in ("yellow sticker", "yellow frame")),
    *check_cues([LONG]),
)
LENGTH = 14
SQUARE = {"height": 32, "width": 32}
WEIGHTS = Path(ik.__file__).parent / "pocket" / "weights"


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    asked = [
        cue.of(name, turn) for cue in (PLAIN_CUE, *CUES) for turn in (0, 1, 2, 3) for name in NAMES
    ]
    words = ["<pad>", "<unk>", "</s>", *sorted({word for text in asked for word in text.split()})]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **marks)


@pytest.fixture(scope="module")
def tiny():
    """A CLIP of random weights and its processor."""
    torch.manual_seed(0)
    words = tokenizer()
    size = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        text_config={
            **size,
            "vocab_size": len(words),
            "max_position_embeddings": LENGTH,
            "pad_token_id": 0,
            "eos_token_id": 2,
        },
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 5  # so that words and pictures make a difference
    return model, transformers.CLIPProcessor(images, words)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return Bank(ik.as_generator("pocket"), tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def sources():
    n, noises = len(NAMES), 2
    index = np.arange(n)
    right = np.ones((n, noises), bool)
    right[1, 0] = False  # its second noise is screened
    return Sources(index, NAMES, [11, 12], np.zeros((1, n, noises), int), right)


def asked_directly(model, processor, prompts, key, bank):
    """Whether a CLIP's own forward gives the first prompt the higher score of a picture."""
    picture = Image.fromarray(bank.images([key])[0])
    given = processor(text=prompts, images=picture, return_tensors="pt", padding=True)
    with torch.no_grad():
        first, second = model(**given).logits_per_image[0].tolist()
    return first > second


def test_shares_are_those_of_the_clips_own_forward(tiny, bank, sources):
    found = reach(bank, CUES, sources, as_clip(tiny))
    for c, cue in enumerate(CUES[:2]):
        pairs = []
        for s, name in enumerate(NAMES):
            prompts, seed = [cue.of(name, s), PLAIN_CUE.of(name)], sources.seeds[s == 1]
            pairs.append([asked_directly(*tiny, prompts, (p, seed), bank) for p in prompts])
        shares = np.mean(pairs, 0)
        assert (found.clip[c], found.clip_plain[c]) == pytest.approx(tuple(shares))
        assert found.low[c] <= shares[0] - shares[1] <= found.high[c]
    assert 0 < np.concatenate([found.clip[:2], found.clip_plain[:2]]).mean() < 1


def test_a_prompt_that_the_clip_does_not_read_whole_has_no_share(tiny, bank, sources):
    found = reach(bank, CUES, sources, as_clip(tiny))
    table = reach_variables(found)
    assert set(table) == {"painted", "reworded", *BY_CLIP}
    assert [np.isnan(table[name][1]).tolist() for name in BY_CLIP] == [[False, False, True]] * 4
    assert np.isfinite(table["painted"][1]).all()


def test_without_a_clip_the_change_alone_is_kept_and_is_the_same(tiny, bank, sources):
    alone, both = (reach(bank, CUES, sources, clip) for clip in (None, as_clip(tiny)))
    assert set(reach_variables(alone)) == {"painted", "reworded"}
    np.testing.assert_array_equal(alone.painted, both.painted)
    nothing = Sources(sources.index, NAMES, [11, 12], sources.read, np.zeros((3, 2), bool))
    assert set(reach_variables(reach(bank, CUES, nothing, as_clip(tiny)))) == {
        "painted",
        "reworded",
    }


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("sticker", np.s_[20:24, 6:10]),
        ("frame", np.s_[:2, :]),
        ("background", np.s_[:6, :]),
    ],
)
def test_a_small_thing_counts_where_it_should_be(kind, where):
    """It stands out from what moves every pixel a little, as it does not in the whole picture."""
    plain = np.full((2, 32, 32, 3), 100, "u1")
    painted, moved = plain.copy(), plain + np.array(12, "u1")
    painted[:, *where] = 220
    assert changed(kind, plain, painted) > 2 * changed(kind, plain, moved) > 0
    assert changed("texture", plain, painted) < 2 * changed("texture", plain, moved)
    assert changed(kind, plain, plain) == 0


def test_other_words_change_less_where_a_sticker_or_a_frame_is(bank, sources):
    """Each kind of cue has the null of its own region."""
    found = reach(bank, (*CUES[:2], *PLACEBOS[:3]), sources)
    sticker, frame, *words = found.painted
    assert sticker > 3 * found.reworded[0]
    assert frame > 6 * found.reworded[1]
    assert np.median(words) == pytest.approx(found.reworded[2])
    assert found.reworded[0] > found.reworded[2]  # the most changed part of any change


def test_a_cue_that_other_words_match_in_its_region_is_outside_the_reach():
    tree = synthetic_findings(synthetic(labels=3))
    effects = tree["effects"].to_dataset(inherit=False).isel(cue=[0, 0, 0])
    data = effects.assign_coords(cue=["faint sticker", "a frame", "word"])
    kinds = np.array(["sticker", "frame", "placebo"], object)
    columns = {"kind": kinds, "painted": [0.05, 0.2, 0.03], "reworded": [0.06, 0.03, 0.03]}
    for name, values in columns.items():
        data[name] = ("cue", np.asarray(values, data[name].dtype if name in data else "f4"))
    tree["effects"] = xr.DataTree(data)
    said = [line for line in analysis.looked_for(tree) if line.startswith("Outside")]
    assert [line.rpartition(": ")[2] for line in said] == ["faint sticker."]


def test_a_trained_clip_sees_what_is_painted_and_nothing_where_it_is_not(bank, sources):
    words = transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "generator" / "tokenizer")
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    model = transformers.CLIPModel.from_pretrained(WEIGHTS / "clip")
    clip = as_clip((model, transformers.CLIPProcessor(images, words)))
    found = reach(bank, CUES[:2], sources, clip)
    assert found.clip.tolist() == [1, 1]
    assert found.clip_plain.tolist() == [0, 0]


def test_a_folder_is_the_same_clip_and_findings_keep_what_it_says(tiny, bank, tmp_path):
    for part in tiny:
        part.save_pretrained(tmp_path / "clip")
    given = {
        "generator": bank.generator,
        "judges": ["pocket:judge"],
        "labels": NAMES[:2],
        "cues": CUES[:1],
        "lenses": ["words"],
        "bank": bank.path.parent,
        "progress": False,
    }
    folder = str(tmp_path / "clip")
    trees = [ik.findings("pocket:honest", clip=clip, **given) for clip in (folder, tiny)]
    named, loaded = (tree["effects"].to_dataset() for tree in trees)
    xr.testing.assert_identical(named, loaded)
    assert np.isfinite(named[[*BY_CLIP]].sel(cue="yellow sticker").to_array()).all()
    assert [tree["findings"].attrs["clip"] for tree in trees] == [folder, "CLIPModel"]


def test_bad_clips_are_refused_before_any_picture(tiny, tmp_path):
    model, processor = tiny
    other = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            image_size=32,
        )
    )
    for wrong, match in (
        (model, r"clip: CLIPModel given; give a CLIP or SigLIP"),
        ((other, processor), "clip: ViTForImageClassification compares no words"),
        ((model, processor.image_processor), "clip: .*needs its tokenizer too"),
        ((model, None), "clip: .*does not say how images are prepared"),
        ((model,), "clip: tuple given"),
        (3, "clip=3"),
    ):
        with pytest.raises(InputError, match=match):
            ik.findings("pocket:honest", generator="pocket", clip=wrong, bank=tmp_path)
    with pytest.raises(ClassifierUnavailableError, match=r"clip='.*nowhere'.*could not be loaded"):
        ik.findings("pocket:honest", generator="pocket", clip=tmp_path / "nowhere", bank=tmp_path)
    assert not list(tmp_path.iterdir())
    pickled = tmp_path / "pickled"
    for part in tiny:
        part.save_pretrained(pickled)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ClassifierUnavailableError, match="clip="):
        as_clip(pickled)
    asked = ["findings", "pocket:honest", "--generator", "pocket", "--clip", str(pickled)]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 2
    assert "error: clip=" in ended.output


def test_both_measures_say_what_is_outside_the_generators_reach():
    tree = synthetic_findings(synthetic(labels=3), confirmed=2)
    names = ["large", "small thing", "nothing", "unseen", "blind", "unsure", "word 0", "word 1"]
    data = tree["effects"].to_dataset(inherit=False).isel(cue=[0] * len(names))
    data = data.assign_coords(cue=np.array(names, object))
    data["kind"] = ("cue", np.array(["sticker"] * 6 + ["placebo"] * 2, object))
    table = {
        "painted": [0.3, 0.01, 0.01, 0.3, 0.3, 0.3, 0.05, 0.05],
        "clip_plain": [0.0, 0.1, 0.1, 0.1, 0.9, 0.2, 0.0, 0.0],
        "clip_low": [0.6, 0.2, -0.2, -0.2, -0.1, -0.1, -0.1, -0.1],
        "clip_high": [1.0, 0.7, 0.2, 0.2, 0.1, 0.7, 0.1, 0.1],
    }
    for name, values in table.items():
        data[name] = ("cue", np.array(values, "f4"))
    data["clip_cued"] = data["clip_plain"]
    tree["effects"] = xr.DataTree(data)
    tree["findings"].attrs["clip"] = "owner/clip"
    said = [line for line in analysis.looked_for(tree) if line.startswith("Outside")]
    assert [line.rsplit(": ", 1)[1] for line in said] == ["nothing.", "unseen."]
    assert all("owner/clip" in line for line in said)
    without = xr.DataTree(data.drop_vars(BY_CLIP))
    tree["effects"], tree["findings"].attrs["clip"] = without, ""
    (line,) = [line for line in analysis.looked_for(tree) if line.startswith("Outside")]
    assert line.endswith(": small thing, nothing.")
