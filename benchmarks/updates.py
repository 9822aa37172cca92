"""Seconds, memory and host syncs of an update, and of its bare model calls."""

from __future__ import annotations

import resource
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from inversion_kit.classifiers.base import Classifier
from inversion_kit.generators.base import Generator
from inversion_kit.generators.class_token import PLACEHOLDER
from inversion_kit.generators.gradients import LAST_STEP
from inversion_kit.generators.memory import MicroBatch
from inversion_kit.search.optimise import optimise


class HostWork(TorchDispatchMode):
    """While open, count what costs a host time beside the arithmetic, the same on every machine.

    Attributes
    ----------
    syncs
        How often a tensor's value was read, as by ``float``, ``bool`` or ``nonzero``: a host that
        reads one of a GPU waits for it. Those on the CPU, as a scheduler's, are counted too.
    storages, nbytes
        Pieces of memory that operations asked for, and their size together; no view is one.
    """

    READS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal)

    def __init__(self) -> None:
        super().__init__()
        self.syncs = self.storages = self.nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation and count it."""
        out = func(*args, **(kwargs or {}))
        self.syncs += func.overloadpacket in self.READS
        before, after = storages_of((args, kwargs)), storages_of(out)
        new = [size for at, size in after.items() if at not in before]
        self.storages += len(new)
        self.nbytes += sum(new)
        return out


def storages_of(values: Any) -> dict[int, int]:
    """Address and bytes of the memory of all tensors in nested values."""
    tensors = [one for one in tree_leaves(values) if isinstance(one, Tensor)]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def finished() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds, after one that is not counted."""
    work()
    finished()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        finished()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def from_here(device: torch.device) -> None:
    """Measure the peak of a GPU's memory from now on."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: torch.device) -> float:
    """The peak of a GPU's memory in GiB; on the CPU that of the whole process so far."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


def host_syncs(work: Callable[[], object], device: torch.device) -> dict[str, int] | None:
    """How often the host waited for the GPU, by the line that asked; None without one."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    lines = [
        f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno}"
        for one in said
        if "called a synchronizing" in str(one.message)
    ]
    return dict(Counter(lines).most_common())


def overhead(
    generator: Generator,
    classifier: Classifier,
    batch: int = 8,
    repeats: int = 5,
    *,
    syncs: bool = False,
) -> dict[str, Any]:
    """Seconds of an update, and of its model calls alone: encoder, U-Net, decoder, classifier."""
    fitting = MicroBatch(batch)
    updates = optimise(
        classifier,
        generator,
        0,
        [f"a photo of a {PLACEHOLDER}"],
        start=generator.neutral_vector(),
        start_name="",
        seed=0,
        steps=repeats + 1 + syncs,
        batch=batch,
        lr=0.3,
        gradient=LAST_STEP,
        micro_batch=fitting,
    )
    from_here(generator.device)
    update = timed(lambda: next(updates), repeats)
    found: dict[str, Any] = {"update": update, "peak_gib": peak_gib(generator.device)}
    if fitting.size < batch:
        found["at_once"] = fitting.size  # memory ran out, and so on with fewer
    if syncs and (waited := host_syncs(lambda: next(updates), generator.device)) is not None:
        found |= {"syncs": sum(waited.values()), "synced_at": waited}
    updates.close()
    bare = timed(bare_calls(generator, classifier, batch), repeats)
    return {**found, "bare": bare, "ratio": round(update / bare, 3)}


def bare_calls(generator: Generator, classifier: Classifier, batch: int) -> Callable[[], None]:
    """The model calls of an update, in the same order and as often, and nothing else."""
    pipe, unet = generator.pipeline, generator.denoiser
    pipe.scheduler.set_timesteps(generator.num_inference_steps)
    calls = len(pipe.scheduler.timesteps)
    place = {"device": generator.device, "dtype": generator.dtype}
    side = unet.config.sample_size
    latents = torch.randn(batch, unet.config.in_channels, side, side, **place)
    length = pipe.tokenizer.model_max_length
    ids = torch.zeros(batch, length, dtype=torch.long, device=generator.device)
    target = torch.zeros(batch, dtype=torch.long, device=generator.device)
    guided = generator.guidance_scale > 1
    x = torch.cat([latents] * 2) if guided else latents

    def work() -> None:
        leaves: list[Tensor] = []
        told, added = encoded(generator, ids, leaves)
        if guided:
            with torch.no_grad():
                empty, _ = encoded(generator, ids, [])
            told = torch.cat([empty, told])
            added = {name: torch.cat([value] * 2) for name, value in added.items()}
        with torch.no_grad():
            for _ in range(calls - 1):
                unet(x, 500, told, added_cond_kwargs=added)
        out = unet(x, 500, told, added_cond_kwargs=added).sample[:batch]
        image = pipe.vae.decode(out / pipe.vae.config.scaling_factor).sample
        logits = classifier.logits(image.float().clamp(0, 1))
        torch.autograd.grad(F.cross_entropy(logits, target), leaves)

    return work


def encoded(
    generator: Generator, ids: Tensor, leaves: list[Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """What the text encoders tell the U-Net; their looked-up embeddings become leaves."""

    def leaf(_module: Any, _inputs: Any, out: Tensor) -> Tensor:
        leaves.append(out.detach().requires_grad_(torch.is_grad_enabled()))
        return leaves[-1]

    outs = []
    for one in generator.encoders:
        handle = one.embedding.register_forward_hook(leaf)
        outs.append(one.model(ids, output_hidden_states=True))
        handle.remove()
    if len(outs) == 1:
        return outs[0].last_hidden_state, {}
    told = torch.cat([out.hidden_states[-2] for out in outs], dim=-1)
    times = told.new_zeros(len(ids), 6)
    return told, {"text_embeds": outs[-1].text_embeds, "time_ids": times}
