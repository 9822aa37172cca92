"""Train the pocket from the data folder: ``python -m inversion_kit.pocket.train --data FOLDER``.

The quick one is distilled of the generator in the output folder and needs no data:
``python -m inversion_kit.pocket.train --stage quick``. Every stage keeps a checkpoint in the work
folder and continues from it; asking for more steps continues a finished one. The finished parts go
to the output folder as safetensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from inversion_kit.paths import folder_to_write, local_path
from inversion_kit.pocket import classify, clip, distil, photos, unet, vae
from inversion_kit.pocket.signs import NAMES

WEIGHTS = Path(__file__).parent / "weights"
STAGES = ("vae", "clip", *classify.RECIPES, "unet", "save", "quick")


def save_classifier(name: str, model: nn.Module, folder: Path) -> None:
    """Write weights (fp16) and the timm-style config that rebuilds and feeds the model."""
    recipe = classify.RECIPES[name]
    target = folder / "classifiers" / name
    target.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: v.half().contiguous() if v.is_floating_point() else v.contiguous()
        for k, v in model.state_dict().items()
    }
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    config = {
        "architecture": recipe.architecture,
        "num_classes": len(NAMES),
        "model_args": recipe.arguments,
        "pretrained_cfg": {
            "input_size": [3, classify.INPUT, classify.INPUT],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": classify.MEAN,
            "std": classify.STD,
        },
        "label_names": NAMES,
    }
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")


def train_classifier(
    name: str,
    images: Tensor,
    label: Tensor,
    seen: Tensor,
    *,
    work: Path,
    out: Path,
    device: str,
) -> None:
    """Train and write a classifier, and say how it does on the tracks that it has not seen."""
    model = classify.train(name, images[seen], label[seen], folder=work, device=device)
    save_classifier(name, model.cpu(), out)
    held = (classify.predict(model, images[~seen]) == label[~seen]).float().mean()
    typer.echo(f"{name}: {held:.2%} on held-out tracks")


def save_generator(
    parts: tuple[AutoencoderKL, CLIPModel, CLIPTokenizer, UNet2DConditionModel], folder: Path
) -> None:
    """Write a folder that ``StableDiffusionPipeline.from_pretrained`` loads, and the CLIP."""
    autoencoder, both, tokenizer, denoiser = parts
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=both.text_model,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=DPMSolverMultistepScheduler(**unet.SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16)
    pipeline.text_encoder.float()  # transformers loads what is stored, diffusers loads fp32
    pipeline.save_pretrained(folder / "generator", safe_serialization=True)
    both.half().save_pretrained(folder / "clip")


def save_quick(denoiser: UNet2DConditionModel, folder: Path) -> None:
    """Write the quick U-Net and its scheduler; text encoder and VAE are the generator's."""
    denoiser.half().save_pretrained(folder / "quick" / "unet", safe_serialization=True)
    distil.scheduler().save_pretrained(folder / "quick" / "scheduler")


def load_parts(
    folder: Path,
) -> tuple[AutoencoderKL, CLIPModel, CLIPTokenizer, UNet2DConditionModel]:
    """Read what `save_generator` wrote, in fp32."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder / "generator", use_safetensors=True, dtype=torch.float32
    )
    both = CLIPModel.from_pretrained(folder / "clip", use_safetensors=True).float()
    return pipeline.vae, both, pipeline.tokenizer, pipeline.unet


def main(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with train.npz and test.npz; --stage quick alone needs none"),
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints")] = Path(".training"),
    out: Annotated[Path, typer.Option(help="Folder for the finished parts")] = WEIGHTS,
    stage: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(STAGES)}")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Folder of finished parts: keep their VAE and CLIP, go on from their U-Net"
        ),
    ] = None,
    anew: Annotated[
        bool, typer.Option(help="With --start: begin with a U-Net of random weights all the same")
    ] = False,
    vae_steps: int = 2600,
    decoder_steps: int = 4000,
    clip_steps: int = 4200,
    unet_steps: int = 11300,
    lessons: int = 6656,
    quick_steps: int = 2000,
    seed: int = 0,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Train the generator and the classifiers, each stage from where it stands."""
    wanted = stage or list(STAGES)
    if unknown := set(wanted) - set(STAGES):
        raise typer.BadParameter(f"{sorted(unknown)} given, allowed {list(STAGES)}")
    photographed = set(wanted) - {"quick"}
    if photographed and data is None:
        raise typer.BadParameter(
            f"--data FOLDER: {', '.join(sorted(photographed))} learn from photographs; give it, or "
            "--stage quick alone"
        )
    work, out = folder_to_write(work, argument="work"), folder_to_write(out, argument="out")
    work.mkdir(parents=True, exist_ok=True)
    if photographed and data is not None:
        given: dict[str, Any] = {"folder": work, "seed": seed, "device": device}
        parts = None if start is None else load_parts(local_path(start, "start"))
        steps = {"vae": vae_steps, "decoder": decoder_steps, "clip": clip_steps, "unet": unet_steps}
        learn(data, photographed, parts, anew=anew, steps=steps, out=out, **given)
    if "quick" in wanted:  # of the generator that lies in the output folder
        made = distil.quick(
            load_parts(out), folder=work, lessons=lessons, steps=quick_steps, seed=seed
        )
        save_quick(made, out)


def learn(
    data: Path,
    wanted: set[str],
    parts: tuple[AutoencoderKL, CLIPModel, CLIPTokenizer, UNet2DConditionModel] | None,
    *,
    anew: bool,
    steps: dict[str, int],
    out: Path,
    folder: Path,
    seed: int,
    device: str,
) -> None:
    """The stages that learn from photographs.

    Parameters
    ----------
    data
        Folder with train.npz.
    wanted
        Some of `STAGES`.
    parts
        Finished ones to go on from.
    anew
        With ``parts``: a U-Net of random weights all the same.
    steps
        Of ``"vae"``, ``"decoder"``, ``"clip"`` and ``"unet"``, at least 1.
    out
        Folder of the finished parts.
    folder
        Of the checkpoints.
    seed
        Of all draws.
    device
        Where the networks are trained.
    """
    given: dict[str, Any] = {"folder": folder, "seed": seed, "device": device}
    train = photos.load(data, "train")
    images = photos.as_float(train["image"])
    label = torch.from_numpy(train["label"]).long()
    if parts is not None:
        autoencoder, both, tokenizer, denoiser = parts
    elif {"vae", "unet", "save"} & wanted:
        autoencoder = vae.train(images, steps=steps["vae"], **given)
        autoencoder = vae.polish(autoencoder, images, steps=steps["decoder"], **given)
    if parts is None and {"clip", "unet", "save"} & wanted:
        tokenizer = clip.build_tokenizer(folder / "tokenizer", seed=seed)
        both = clip.train(images, label, tokenizer, steps=steps["clip"], **given)
    seen = ~torch.from_numpy(photos.holdout_by_track(train["label"], train["track"]))
    for name in (name for name in classify.RECIPES if name in wanted):
        train_classifier(name, images, label, seen, work=folder, out=out, device=device)
    if {"unet", "save"} & wanted:
        latents = unet.encode(images, label, autoencoder, **given)
        kept = None if parts is None or anew else denoiser
        shared = (latents, both.text_model, tokenizer)
        denoiser = unet.train(*shared, steps=steps["unet"], unet=kept, **given)
        if "save" in wanted:
            save_generator((autoencoder, both, tokenizer, denoiser), out)


if __name__ == "__main__":
    typer.run(main)
