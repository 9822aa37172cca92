"""Loading and checking pipelines: safetensors alone, no foreign code, one clear message a fault."""

from __future__ import annotations

import json

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import StableDiffusionImg2ImgPipeline
from families import build

from inversion_kit.errors import GeneratorUnavailableError, InputError
from inversion_kit.generators.convert import as_generator
from inversion_kit.generators.loading import check_device, check_dtype, load_pipeline


@pytest.fixture
def folder(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def listed(folder, **changes):
    """Change what a folder says that its pipeline is made of."""
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text("utf-8")), **changes}), "utf-8")


def test_a_folder_is_loaded_without_bars_and_theirs_are_left_as_they_were(folder, capfd):
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    load_pipeline(folder)
    assert capfd.readouterr().err == ""
    assert of_diffusers.is_progress_bar_enabled()
    assert of_transformers.is_progress_bar_enabled()
    of_diffusers.disable_progress_bar()
    try:
        load_pipeline(folder)
        assert not of_diffusers.is_progress_bar_enabled()
    finally:
        of_diffusers.enable_progress_bar()


@pytest.mark.parametrize("source", [None, "nobody/nothing"])
def test_an_unloadable_hub_id_is_an_error_that_says_what_to_do(source, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(GeneratorUnavailableError, match="generator='pocket'") as caught:
        as_generator(source, revision="f00")
    assert isinstance(caught.value.__cause__, OSError)
    assert f"`hf download {source or 'stable-diffusion-v1-5'}" in str(caught.value)
    assert "--revision f00`" in str(caught.value)


def test_a_hub_id_is_loaded_from_the_cache_at_the_revision_asked_for(
    make_pipeline, monkeypatch, tmp_path
):
    """The hub's own cache, filled by hand as a download fills it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--small"
    (repository / "refs").mkdir(parents=True)
    hashes = {}
    for commit, branch in (("a" * 40, "main"), ("b" * 40, "other")):
        pipeline = make_pipeline()
        torch.nn.init.constant_(pipeline.unet.conv_out.bias, float(branch == "other"))
        pipeline.save_pretrained(repository / "snapshots" / commit)
        (repository / "refs" / branch).write_text(commit, "utf-8")
        hashes[branch] = as_generator(pipeline).hash
    assert hashes["main"] != hashes["other"]
    assert as_generator("owner/small").hash == hashes["main"]
    for revision in ("other", "b" * 40):
        assert as_generator("owner/small", revision=revision).hash == hashes["other"]


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_a_folder_of_any_family_is_loaded(family, tokenizer, tmp_path):
    pipeline = build(family, tokenizer)
    pipeline.save_pretrained(tmp_path)
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0}
    settings |= {"call": {"max_sequence_length": 16}} if family == "sd3" else {}
    loaded = as_generator(tmp_path, device="cpu", **settings)
    given = as_generator(pipeline, **settings)
    assert loaded.hash == given.hash
    assert loaded.name == str(tmp_path)
    one, other = (g.images(["cat"], seeds=[1]) for g in (loaded, given))
    assert torch.allclose(one, other, atol=1e-6)


def test_device_and_dtype_are_those_asked_for(folder):
    pipeline = load_pipeline(folder, dtype="bfloat16", device="cpu")
    assert {p.dtype for p in pipeline.unet.parameters()} == {torch.bfloat16}
    assert pipeline.device == torch.device("cpu")


def test_what_is_loaded_by_name_goes_to_the_accelerator_and_the_pocket_stays(folder, monkeypatch):
    fast = torch.device("meta")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: fast)
    assert as_generator(folder).device == fast
    assert as_generator(folder, device="cpu").device == torch.device("cpu")
    assert as_generator("pocket").device == torch.device("cpu")
    assert as_generator("pocket", device="meta").device == fast


def test_a_safety_checker_is_not_even_loaded(folder):
    listed(folder, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert not (folder / "safety_checker").exists()
    assert load_pipeline(folder).safety_checker is None


def test_pickles_are_not_read(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "unet" / "diffusion_pytorch_model.bin").is_file()
    with pytest.raises(GeneratorUnavailableError, match="safetensors alone are read"):
        load_pipeline(tmp_path)


@pytest.mark.parametrize("place", ["pipeline", "unet"])
def test_code_in_a_folder_is_not_run(folder, place, tmp_path):
    listed(folder, **{"_class_name" if place == "pipeline" else place: ["mine", "Mine"]})
    code = (folder if place == "pipeline" else folder / place) / "mine.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Mine: pass\n", "utf-8")
    with pytest.raises(GeneratorUnavailableError, match="not run"):
        load_pipeline(folder)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_a_pipeline_and_a_name_that_is_none(tmp_path):
    with pytest.raises(GeneratorUnavailableError, match=r"no model_index\.json"):
        load_pipeline(tmp_path)
    with pytest.raises(GeneratorUnavailableError, match="no such folder, and no hub id"):
        load_pipeline(tmp_path / "missing")


@pytest.mark.parametrize("device", ["cuda:77", "abacus", "meta:x", "mps:9"])
def test_a_device_that_is_not_there_is_refused(device, folder):
    with pytest.raises(InputError, match=f"device='{device}' cannot be used here; there is 'cpu'"):
        load_pipeline(folder, device=device)
    assert check_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("dtype", ["int8", "fp16", torch.int32, 3])
def test_a_dtype_that_is_none_is_refused(dtype, folder):
    with pytest.raises(InputError, match="expected one of float32, float16"):
        load_pipeline(folder, dtype=dtype)


def test_a_dtype_that_the_cpu_does_not_run_is_refused(make_pipeline):
    with pytest.raises(InputError, match=r"'float8_e5m2' does not run on 'cpu'.*'float32'"):
        check_dtype(torch.float8_e5m2, torch.device("cpu"))
    with pytest.raises(InputError, match="does not run on 'cpu'"):
        load_pipeline("nobody/nothing", dtype=torch.float8_e5m2)  # before anything is loaded
    pipeline = make_pipeline()
    torch.nn.Module.to(pipeline.unet, torch.float8_e5m2)
    with pytest.raises(InputError, match="does not run on 'cpu'"):
        as_generator(pipeline)
    with torch.no_grad():
        check_dtype(torch.float64, torch.device("cpu"))


@pytest.mark.parametrize("way", ["model", "sequential", "group"])
def test_cpu_offload_is_refused(make_pipeline, way):
    pipeline = make_pipeline()
    if way == "model":  # what the pipeline's enable_*_offload() do where there is an accelerator
        cpu_offload_with_hook(pipeline.unet, execution_device="cpu")
    elif way == "sequential":
        cpu_offload(pipeline.unet, execution_device="cpu")
    else:
        place = torch.device("cpu")
        pipeline.unet.enable_group_offload(onload_device=place, offload_type="leaf_level")
    with pytest.raises(InputError, match=r"CPU offload of unet.*without enable_\*_offload"):
        as_generator(pipeline)


def test_a_pipeline_that_cannot_be_asked_is_refused(make_pipeline, tokenizer):
    def refuses(message, pipeline, **settings):
        with pytest.raises(InputError, match=message):
            as_generator(pipeline, **settings)

    pipeline = make_pipeline()
    other = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    refuses("Img2ImgPipeline does not make an image of a prompt alone", other)
    refuses("list is no diffusers pipeline", ["cat"])
    refuses("Linear is no diffusers pipeline", torch.nn.Linear(1, 1))
    pipeline.tokenizer = None
    refuses("has no tokenizer with a text encoder", pipeline)
    flux = build("flux", tokenizer)
    refuses("height=6: FluxPipeline makes sizes that 4 divides", flux, height=6)
    flux.transformer = None
    refuses("neither a unet nor a transformer", flux)
    flux.scheduler = None
    refuses("no scheduler", flux)
