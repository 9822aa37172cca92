"""Mutated files into every loader: typed errors only, bounded time and memory, no pickle."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import sys
import time

import numpy as np
import pytest

import inversion_kit
from inversion_kit.errors import InversionError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.audit_store import AuditStore, Unit
from inversion_kit.testing import synthetic_plan, synthetic_run, synthetic_unit
from tests.test_unit_files import assert_same

TOKEN, FAILED = Unit(1, "token", 0), Unit(2, "token", 0)
LOADERS = ("unit", "forged unit", "plan", "checkpoint", "forged checkpoint", "failure", "zarr",
           "token")  # fmt: skip
PICKLES = []
WORDS = [b"-1", b"99999999999999999999", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""', b"true",
         b"0", b"\\ud800", b"\x00", b"\x80\x04.", b"[" * 5000]  # fmt: skip


def watch(event, args):
    if event == "pickle.find_class":
        PICKLES.append(args)


@pytest.fixture(scope="module", autouse=True)
def watched():
    sys.addaudithook(watch)


def mutate(data, rng):
    """One to three small harms to a file's bytes."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, end = sorted(int(i) for i in rng.integers(0, len(data) + 1, 2))
        kind = rng.integers(0, 7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : min(end, at + 16)]
        elif kind == 3:
            data[at:at] = WORDS[rng.integers(len(WORDS))]
        elif kind == 4:
            data[at : min(end, at + 16)] = rng.bytes(8)
        elif kind == 5:
            digits = [i for i, byte in enumerate(data) if 48 <= byte < 58]
            if digits:
                i = digits[rng.integers(len(digits))]
                data[i : i + 1] = WORDS[rng.integers(10)]
        else:
            data[at:at] = data[at : min(end, at + 64)]
    return bytes(data)


class Case:
    """A folder that is whole, the files of it that are harmed, and how it is loaded."""

    def __init__(self, loader, root):
        self.forged = loader.startswith("forged")
        self.root, self.same = root, None
        plan = synthetic_plan()
        if loader == "zarr":
            inversion_kit.save(synthetic_run(seeds=1, steps=2, size=2), root / "zarr")
            self.folder = root / "zarr"
            self.load = lambda: inversion_kit.open(self.folder)
        elif loader == "token":
            inversion_kit.save_token(synthetic_run(), root / "a.safetensors")
            self.folder = root
            self.load = lambda: inversion_kit.load_token(root / "a.safetensors")
        else:
            store = AuditStore.create(root / "audit", plan)
            groups = synthetic_unit(1, "token", 0)
            if loader.endswith("unit"):
                store.commit(TOKEN, *groups)
                self.folder = store.folder(TOKEN)
                self.load = lambda: (
                    unit_files.read(self.folder),
                    inversion_kit.open(store.path).map_over_datasets(lambda data: data.load()),
                )
                if not self.forged:
                    self.same = lambda found: assert_same(found[0][0], groups[0])
            elif loader == "plan":
                self.folder = store.path
                self.load = lambda: inversion_kit.open(store.path)
            elif loader == "failure":
                self.folder = store.fail(FAILED, ValueError("black"), 1.0)
                self.load = lambda: (store.failures(FAILED), inversion_kit.open(store.path))
            else:
                store.save_checkpoint(TOKEN, {"a": np.arange(9.0)}, {"step": 3})
                self.folder = store.checkpoints(TOKEN)[0]
                from inversion_kit.storage import checkpoints

                self.load = lambda: (checkpoints.load(self.folder), store.progress())
        names = ("audit.json",) if loader == "plan" else None
        self.files = {
            path: path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and (names is None or path.name in names)
        }

    def harm(self, rng):
        paths = [p for p in self.files if not (self.forged and p.name == "manifest.json")]
        path = paths[rng.integers(len(paths))]
        path.write_bytes(mutate(self.files[path], rng))
        if self.forged:  # the manifest says that all is well
            files = {p.name: p.read_bytes() for p in paths}
            manifest = durable._describe(files, {"seconds": 1})
            (self.folder / "manifest.json").write_bytes(manifest)
        return path

    def mend(self, path):
        for each in {path, self.folder / "manifest.json"} & self.files.keys():
            each.write_bytes(self.files[each])


def attack(loader, root, count):
    """Mutate and load; what was refused and the seconds of the slowest."""
    case, rng = Case(loader, root), np.random.default_rng(LOADERS.index(loader))
    case.load()
    PICKLES.clear()  # libraries that are imported now may open their own
    refused, slowest = 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        path = case.harm(rng)
        began = time.monotonic()
        try:
            found = case.load()
        except InversionError:
            refused += 1
        except Exception as error:
            raise AssertionError(
                f"{loader}, mutation {number} of {path.name}: {error!r}"
            ) from error
        else:
            if case.same:
                case.same(found)
        slowest = max(slowest, time.monotonic() - began)
        case.mend(path)
    case.load()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 300
    assert PICKLES == []
    return refused, slowest, grown


@pytest.mark.parametrize("loader", LOADERS)
def test_mutated_files_give_typed_errors(loader, tmp_path):
    refused, slowest, _ = attack(loader, tmp_path, 40)
    assert refused > 5
    assert slowest < 20


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_ten_thousand_mutated_files_give_typed_errors(loader, tmp_path):
    refused, slowest, grown = attack(loader, tmp_path, 10_000)
    print(f"{loader}: {refused} of 10000 refused, slowest {slowest:.2f} s, {grown:.0f} MB")


@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "no_such"])
def test_a_codec_of_another_kind_is_not_run(tmp_path, codec):
    path = inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    file = path / "samples" / "sample" / "zarr.json"
    node = json.loads(file.read_text())
    node["codecs"] = [{"name": codec}]
    file.write_text(json.dumps(node))
    with pytest.raises(inversion_kit.StoreError, match=codec):
        inversion_kit.open(path)


def test_an_array_of_a_size_that_no_memory_holds_is_refused(tmp_path):
    path = inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    for sizes in itertools.product([[2**30], [10**12]]):
        file = path / "samples" / "sample" / "zarr.json"
        node = json.loads(file.read_text())
        node["shape"] = sizes[0]
        file.write_text(json.dumps(node))
        with pytest.raises(inversion_kit.StoreError, match="sample"):
            inversion_kit.open(path)


def test_pickles_in_the_place_of_files_are_not_opened(tmp_path):
    import pickle

    store = AuditStore.create(tmp_path / "audit", synthetic_plan())
    store.commit(TOKEN, *synthetic_unit(1, "token", 0))
    folder = store.folder(TOKEN)
    files = {n: (folder / n).read_bytes() for n in unit_files.LIMITS}
    for name in files:
        shutil.rmtree(folder)
        evil = pickle.dumps(len)
        durable.write_folder(store.path / "units", TOKEN.id, files | {name: evil})
        with pytest.raises(InversionError):
            store.load(TOKEN)
    assert PICKLES == []
