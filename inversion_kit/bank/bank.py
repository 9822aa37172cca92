"""A generator's images of prompts and noises: each is made once and kept in a folder.

The folder belongs to one generator, its sampler and its settings. Images lie in shards that are
never changed (`inversion_kit.storage.unit_files`): whoever is killed loses the one that was begun.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from inversion_kit.errors import SchemaError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.generators.sample import sample, to_bytes
from inversion_kit.paths import folder_to_write, local_path
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_folder import names_in

SHARD = 32
"""Most images of a shard."""
_OPEN = 8
"""Shards that are held in memory at most."""
Key = tuple[str, int]
"""Prompt and noise seed."""


def cache_folder() -> Path:
    """Where banks lie: ``INVERSION_KIT_CACHE``, or ``inversion_kit`` in the user's cache folder."""
    if named := os.environ.get("INVERSION_KIT_CACHE"):
        return local_path(named, "INVERSION_KIT_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "inversion_kit"


def key_of(generator: Generator, steps: int | None = None) -> str:
    """sha256 of what a bank's images depend on; ``steps`` are the generator's own by default.

    Examples
    --------
    >>> from inversion_kit.generators.convert import as_generator
    >>> pocket = as_generator("pocket")
    >>> key_of(pocket) == key_of(pocket, pocket.num_inference_steps) != key_of(pocket, 3)
    True
    """
    made_by = [
        generator.hash,
        generator.sampler_facts(),
        steps or generator.num_inference_steps,
        generator.guidance_scale,
        str(generator.dtype),
    ]
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()


class Bank:
    """Images of one generator by prompt and noise seed.

    Parameters
    ----------
    generator
        What makes those that are missing.
    path
        Folder of banks; that of the user's cache by default. Each generator has its own in it.

    Attributes
    ----------
    key
        sha256 of what the images depend on: weights, sampler, steps, guidance and dtype.

    Raises
    ------
    InputError
        The path is no folder of this machine.
    StoreError
        Nothing can be written there.

    Examples
    --------
    >>> import tempfile
    >>> from inversion_kit.generators.convert import as_generator
    >>> bank = Bank(as_generator("pocket"), tempfile.mkdtemp())
    >>> bank.images([("a photo of a stop", 1), ("a photo of a stop", 2)]).shape
    (2, 32, 32, 3)
    >>> bank.missing([("a photo of a stop", 1)])
    []
    """

    def __init__(self, generator: Generator, path: str | os.PathLike[str] | None = None) -> None:
        self.generator = generator
        self.key = key_of(generator)
        root = cache_folder() / "bank" if path is None else folder_to_write(path, argument="bank")
        self.path = root / self.key[:16]
        self.places: dict[Key, tuple[str, int]] = {}
        self._open: OrderedDict[str, np.ndarray] = OrderedDict()
        self._listed: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in what others have made since; a damaged shard counts as not there."""
        for name in sorted(set(names_in(self.path)) - self._listed):
            self._listed.add(name)
            try:
                held = unit_files.read_texts(self.path / name)[0]
            except StoreError:
                continue
            for row, (prompt, seed) in enumerate(held["images"]):
                self.places.setdefault((prompt, seed), (name, row))

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those that are still to be made.

        Parameters
        ----------
        keys
            Prompts, each with its noise seed.

        Returns
        -------
        list of tuple
            Keys that are not there, each once, in their order.
        """
        return [key for key in dict.fromkeys(keys) if key not in self.places]

    def make(
        self,
        keys: Iterable[Key],
        *,
        heard: Callable[[int], None] = lambda n: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make and keep the missing ones.

        Parameters
        ----------
        keys
            Prompts, each with its noise seed.
        heard
            Called after each shard with how many images were made, at most `SHARD`.
        enough
            Asked before each shard: True ends it early.

        Raises
        ------
        StoreError
            The folder cannot be written.
        """
        wanted = self.missing(keys)
        for first in range(0, len(wanted), SHARD):
            if enough():
                return
            part = wanted[first : first + SHARD]
            prompts, seeds = [prompt for prompt, _ in part], [seed for _, seed in part]
            pixels = to_bytes(sample(self.generator, prompts, seeds=seeds, batch=SHARD))
            name = hashlib.sha256(json.dumps(part).encode()).hexdigest()[:32]
            data = xr.Dataset({"image": (("sample", "y", "x", "channel"), pixels)})
            self.path.mkdir(parents=True, exist_ok=True)
            unit_files.write(self.path, name, {"bank": data}, {"images": [list(k) for k in part]})
            self._listed.add(name)
            for row, key in enumerate(part):
                self.places.setdefault(key, (name, row))
            heard(len(part))

    def images(self, keys: Sequence[Key]) -> np.ndarray:
        """Images of prompts and seeds; the missing ones are made first.

        Parameters
        ----------
        keys
            ``n`` prompts, at least 1, each with its noise seed.

        Returns
        -------
        np.ndarray
            RGB, uint8 ``(n, y, x, 3)``, in the order of the keys.

        Raises
        ------
        StoreError
            The folder cannot be written, or a file in it is damaged.
        """
        self.make(keys)
        shards: dict[str, list[int]] = {}
        for i, key in enumerate(keys):
            shards.setdefault(self.places[key][0], []).append(i)
        out: list[np.ndarray] = [np.empty(0)] * len(keys)
        for name, rows in shards.items():
            if not self._sound(name):
                return self.images(keys)  # what was damaged is made again
            for i in rows:
                out[i] = self._shard(name)[self.places[keys[i]][1]]
        return np.stack(out)

    def parts(self, keys: Sequence[Key], size: int = 256) -> Iterator[tuple[slice, np.ndarray]]:
        """`images` some at a time, so that memory does not grow with the bank.

        Parameters
        ----------
        keys
            Prompts, each with its noise seed.
        size
            Most images at a time, at least 1.

        Yields
        ------
        slice
            Which of the keys.
        np.ndarray
            Their images, RGB uint8 ``(n, y, x, 3)``.

        Raises
        ------
        StoreError
            As of `images`.
        """
        for first in range(0, len(keys), size):
            part = slice(first, min(first + size, len(keys)))
            yield part, self.images(keys[part])

    def _sound(self, name: str) -> bool:
        """Whether a shard is whole; one that is damaged is dropped, and its images are missing."""
        try:
            self._shard(name)
        except (StoreError, SchemaError, KeyError):
            durable.discard(self.path / name)
            self.places = {key: place for key, place in self.places.items() if place[0] != name}
            return False
        return True

    def _shard(self, name: str) -> np.ndarray:
        """Images of a shard, each file checked against its sha256 when it is read."""
        if name not in self._open:
            self._open[name] = unit_files.read(self.path / name)[0]["bank"]["image"].values
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return self._open[name]
