"""One resumable training loop for every part of the pocket."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import trange


def fit(
    module: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    *,
    checkpoint: Path,
    steps: int,
    lr: float,
    seed: int,
    weight_decay: float = 0.01,
    warmup: int = 100,
    cooldown: float = 0.3,
    ema: float = 0.0,
    save_every: int = 250,
) -> nn.Module:
    """Train ``module`` in place until ``steps``, from the checkpoint where there is one.

    The learning rate warms up, stays, and falls linearly over the last ``cooldown`` share of the
    steps, so that a finished run can be continued by asking for more steps. The random state of
    a step depends on ``seed`` and the step alone: a resumed run sees what an uninterrupted one
    would. With ``ema`` the module is left holding the moving average of its weights.

    Returns
    -------
    nn.Module
        The same module, in eval mode and without gradients.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    average = [p.detach().clone() for p in trained]
    device = trained[0].device
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        average, first = state["average"], state["step"]
    module.train()
    smooth: float | None = None
    bar = trange(first, steps, initial=first, total=steps, desc=checkpoint.stem, mininterval=5)
    for step in bar:
        left = (steps - step) / max(1, cooldown * steps)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / warmup, left)
        value = _differentiated(loss, seed * 1_000_003 + step, device)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if ema:
            decay = min(ema, (step + 1) / (step + 20))
            torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - decay)
        if step % 20 == 0:
            smooth = value.item() if smooth is None else 0.9 * smooth + 0.1 * value.item()
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
        if (step + 1) % save_every == 0:
            _save(checkpoint, module, optimizer, average, step + 1)
    if first < steps:
        _save(checkpoint, module, optimizer, average, steps)
    if ema:
        with torch.no_grad():
            for p, a in zip(trained, average, strict=True):
                p.copy_(a)
    return module.eval().requires_grad_(False)


def _differentiated(
    loss: Callable[[torch.Generator], Tensor], seed: int, device: torch.device
) -> Tensor:
    """The loss of one step, whose gradient the weights then hold."""
    random = torch.Generator().manual_seed(seed)
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.autocast(device.type, torch.bfloat16, enabled=_quick_in_half(device)),
    ):
        value = loss(random)
    value.backward()
    return value


def _quick_in_half(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself: a processor that does not is slower in it."""
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _save(
    checkpoint: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: list[Tensor],
    step: int,
) -> None:
    """Keep the state after a step; a checkpoint is whole or the one before it."""
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
        "step": step,
    }
    part = checkpoint.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, checkpoint)
