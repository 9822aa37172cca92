"""``fast``: tiny decoders by their latents, the quick pocket, and what the result says of both."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from families import FAMILIES, build
from typer.testing import CliRunner

import inversion_kit as ik
from inversion_kit.cli.app import app
from inversion_kit.errors import GeneratorUnavailableError, InputError
from inversion_kit.generators.families import decoder_of
from inversion_kit.generators.loading import fast_dtype
from inversion_kit.generators.quick import search_generator, settled
from inversion_kit.settings import Settings

SD, XL, SD3, FLUX = (f"madebyollin/tae{name}" for name in ("sd", "sdxl", "sd3", "f1"))
PUBLISHED = {
    **dict.fromkeys(("stable_diffusion", "v_prediction", "lcm"), ((4, 0.18215, None), SD)),
    **dict.fromkeys(("sdxl", "sdxl_turbo", "pixart"), ((4, 0.13025, None), XL)),
    "sd3": ((16, 1.5305, 0.0609), SD3),
    "flux": ((16, 0.3611, 0.1159), FLUX),
}
"""Of each family's published VAE: channels, scale and shift of its latents; its tiny decoder."""
SMALL = {"steps": 1, "samples": 2, "validation": 2, "batch": 2, "restarts": 0, "views": []}


def vae(channels: int, scale: float, shift: float | None, blocks: int = 4) -> AutoencoderKL:
    """A VAE of random weights with latents of that layout."""
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        norm_num_groups=4,
        latent_channels=channels,
        scaling_factor=scale,
        shift_factor=shift,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_the_decoder_of_its_latents(family, tokenizer):
    pipeline = build(family, tokenizer)
    assert decoder_of(pipeline) is None  # the toys' latents are nobody's
    if family == "sana":  # none is published for it
        return
    layout, wanted = PUBLISHED[family]
    pipeline.register_modules(vae=vae(*layout))
    assert decoder_of(pipeline) == wanted
    pipeline.register_modules(vae=vae(*layout, blocks=3))  # images of another size
    assert decoder_of(pipeline) is None


def latent_like_sd(make_pipeline):
    pipeline = make_pipeline()
    pipeline.register_modules(vae=vae(4, 0.18215, None))
    return ik.as_generator(pipeline)


def test_fast_and_tiny_name_the_decoder_and_what_the_user_names_comes_first(make_pipeline):
    generator = latent_like_sd(make_pipeline)
    assert settled(Settings(fast=True), generator).search_decoder == SD
    assert settled(Settings(search_decoder="tiny"), generator).search_decoder == SD
    assert settled(Settings(search_decoder="mine", fast=True), generator).search_decoder == "mine"
    assert settled(Settings(), generator).search_decoder is None


def test_without_a_network_the_error_says_what_to_type(make_pipeline, classifier):
    generator = latent_like_sd(make_pipeline)
    wanted = f"search_decoder='{SD}'.*hf download {SD}.*leave it out, and fast=True too"
    with pytest.raises(GeneratorUnavailableError, match=wanted):
        search_generator(generator, Settings(search_decoder="tiny"))
    with pytest.raises(GeneratorUnavailableError, match=wanted):
        ik.invert(classifier, "stop", generator=generator, fast=True, progress=False, **SMALL)


def test_tiny_is_refused_where_none_is_known_and_fast_goes_without(generator):
    with pytest.raises(InputError, match=r"none is known for the latents of 'tiny' \(AutoencoderK"):
        search_generator(generator, Settings(search_decoder="tiny"))
    assert search_generator(generator, Settings(fast=True)) is generator


def test_of_the_pocket_the_quick_one_makes_the_evidence_too_and_the_result_says_so(tmp_path):
    given = {"generator": "pocket", "progress": False, "arms": ["name"], "samples": 1, "views": []}
    tree = ik.audit("pocket:honest", ["stop"], seeds=1, store=tmp_path, fast=True, **given)
    assert tree.attrs["generator"] == "pocket:quick"
    told = json.loads(tree.attrs["settings"])
    assert (told["fast"], told["num_inference_steps"]) == (True, 1)
    assert told["sources"]["generator"] == "pocket:quick"  # findings of it ask the same one
    assert "fast=True" in ik.analysis.code(tree)
    again = ik.audit("pocket:honest", ["stop"], seeds=2, store=tmp_path / "b", fast=True, **given)
    assert again["samples"].sizes["seed"] == 2
    resumed = ik.resume(tmp_path, progress=False)  # it is the same audit
    assert resumed.attrs["generator_hash"] == tree.attrs["generator_hash"]


def test_an_object_stays_what_it_is():
    pocket = ik.as_generator("pocket")
    assert ik.as_generator(pocket, fast=True) is pocket
    assert ik.as_generator("pocket", fast=True, num_inference_steps=2).num_inference_steps == 2


def test_networks_go_to_half_precision_on_an_accelerator_alone(tmp_path, make_pipeline):
    make_pipeline().save_pretrained(tmp_path)
    for given, dtype in (({}, torch.float32), ({"dtype": "float64"}, torch.float64)):
        made = ik.as_generator(str(tmp_path), fast=True, device="cpu", **given)
        assert made.dtype == dtype
        assert made.loaded_with["dtype"] == str(dtype).removeprefix("torch.")
    assert fast_dtype("meta") == torch.bfloat16  # any other device that runs it
    with pytest.raises(InputError, match="fast='yes': expected True or False"):
        Settings(fast="yes")


def test_the_command_line_has_it(tmp_path):
    options = ["--generator", "pocket", "--arm", "name", "--samples", "1", "--seeds", "1"]
    place = ["--device", "cpu", "--out", str(tmp_path / "run")]
    said = CliRunner().invoke(app, ["invert", "pocket:honest", "stop", "--fast", *options, *place])
    assert said.exit_code == 0, said.output
    tree = ik.open(tmp_path / "run" / "run.zarr")
    assert tree.attrs["generator"] == "pocket:quick"
    assert json.loads(tree.attrs["settings"])["fast"] is True


def test_a_lora_on_trailing_ddim_samples_as_hyper_sd_does(make_pipeline):
    peft = pytest.importorskip("peft")
    pipeline = make_pipeline(scheduler=DDIMScheduler, timestep_spacing="trailing")
    plain = ik.as_generator(pipeline)
    assert (plain.num_inference_steps, plain.guidance_scale) == (30, 7.0)
    pipeline.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_k"]))
    quick = ik.as_generator(pipeline)
    assert (quick.num_inference_steps, quick.guidance_scale) == (4, 0.0)
    told = ik.as_generator(pipeline, num_inference_steps=30, guidance_scale=7.0)
    assert (told.num_inference_steps, told.guidance_scale) == (30, 7.0)
