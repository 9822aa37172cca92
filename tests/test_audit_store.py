"""The folder of an audit: nothing is lost, nothing is half there, one run at a time."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import inversion_kit
from inversion_kit import schema
from inversion_kit.errors import InputError, SchemaError, StoreError, StoreLockedError
from inversion_kit.storage import durable, unit_files
from inversion_kit.storage.assemble import assemble
from inversion_kit.storage.audit_folder import AuditFolder
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic_plan, synthetic_unit
from tests.audits import NAMES, WHOLE, assert_same_groups
from tests.killing import kill_at

TOKEN, NAME, BROKEN = Unit(1, "token", 0), Unit(1, "name", 0), Unit(2, "token", 1)


@pytest.fixture
def store(tmp_path):
    return AuditStore.create(tmp_path / "audit", synthetic_plan())


def made(unit, **options):
    return synthetic_unit(unit.label_index, unit.arm, unit.seed, **options)


def tensors(step):
    return {"embedding": torch.arange(4.0) + step, "state": np.arange(3) * step}


# --- what a unit is


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-token-0",
        "000001-token",
        "000001-Best-0",
        "../../etc",
        "000001-token-00",
        "0000001-token-0",
        "000001-token-99999999999",
    ],
)
def test_what_is_no_id_is_no_unit(text):
    assert Unit.parse(text) is None


def test_an_id_and_its_unit_are_one_to_one(store):
    for unit in [*store.units(), Unit(1_234_567, "token+name_2", 2**31 - 1)]:
        assert Unit.parse(unit.id) == unit


@pytest.mark.parametrize(
    "values",
    [(-1, "token", 0), (0, "../x", 0), (0, "token", 0.5), (True, "token", 0), (0, "token", 2**31)],
)
def test_a_unit_that_no_path_should_hold_is_refused(values):
    with pytest.raises(InputError):
        Unit(*values)


# --- the plan


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"labels": [[0, "sky"]]}, "class 0"),
        ({"labels": [[1, "sky"], [1, "sky"]]}, "twice"),
        ({"labels": [["1", "sky"]]}, "sky"),
        ({"labels": []}, "empty"),
        ({"arms": ["../x"]}, "arms"),
        ({"seeds": [0.5]}, "seeds"),
        ({"seeds": [True]}, "seeds"),
        ({"judges": [["a", "oracle"]]}, "oracle"),
        ({"judge_hashes": []}, "judge_hashes"),
        ({"classes": ["a\ud800"]}, "UTF-8"),
        ({"classifier": None}, "classifier"),
        ({"settings": {"lr": float("nan")}}, "JSON"),
        ({"settings": {1: 2}}, "JSON"),
        ({"created": "now"}, "created"),
        ({"labels": None}, "labels"),
    ],
)
def test_a_plan_that_no_audit_can_be_made_of_is_refused(tmp_path, change, word):
    plans = [synthetic_plan() | change]
    plans += [{n: v for n, v in plans[0].items() if n != word}] if word in synthetic_plan() else []
    for plan in plans:
        with pytest.raises(InputError, match=word):
            AuditStore.create(tmp_path / "audit", plan)
    assert not (tmp_path / "audit").exists()


def test_the_same_plan_opens_and_another_says_what_differs(store):
    before = (store.path / "audit.json").read_bytes()
    assert AuditStore.create(store.path, synthetic_plan()).plan == store.plan
    with pytest.raises(InputError, match=r"seeds: there \[0, 1\], here \[0, 1, 2\]"):
        AuditStore.create(store.path, synthetic_plan(seeds=range(3)))
    other = synthetic_plan()
    other["settings"]["steps"] = 7
    with pytest.raises(InputError, match=r"settings\.steps: there 6, here 7"):
        AuditStore.create(store.path, other)
    assert (store.path / "audit.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        AuditStore.create(tmp_path, synthetic_plan())
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(StoreError, match="no audit there"):
        AuditStore(tmp_path)


# --- units


def test_a_committed_unit_is_there_for_good(store):
    groups, attributes = made(TOKEN)
    assert store.state(TOKEN) == "missing"
    store.save_checkpoint(TOKEN, tensors(1), {})
    assert store.commit(TOKEN, groups, attributes)
    assert not store.commit(TOKEN, made(TOKEN, steps=2)[0], {})
    assert store.state(TOKEN) == "done"
    assert store.load_checkpoint(TOKEN) is None
    back, back_attributes = AuditFolder(store.path).load(TOKEN)
    assert_same_groups(back, groups)
    assert back_attributes == attributes


def test_failures_are_kept_one_by_one(store):
    try:
        raise ValueError("all images are black \ud800")
    except ValueError as error:
        store.fail(BROKEN, error, 2.5)
    store.fail(BROKEN, MemoryError("x" * 10_000), 1)
    assert store.state(BROKEN) == "failed"
    assert store.failed() == [BROKEN]
    assert BROKEN not in store.missing()
    first, second = store.failures(BROKEN)
    assert (first["type"], first["seconds"]) == ("ValueError", 2.5)
    assert first["message"].startswith("all images are black")
    assert "test_failures_are_kept_one_by_one" in first["traceback"]
    assert (second["type"], len(second["message"])) == ("MemoryError", 4_000)
    store.commit(BROKEN, *made(BROKEN))
    assert store.state(BROKEN) == "done"
    for i in range(9):
        store.fail(BROKEN, ValueError(str(i)), i)
    assert [f["message"] for f in store.failures(BROKEN)][2:] == [str(i) for i in range(9)]


@pytest.mark.parametrize("unit", [Unit(1, "shuffled", 0), Unit(9, "token", 0), Unit(1, "name", 7)])
def test_a_unit_of_no_plan_is_refused(store, unit):
    for call in (
        lambda: store.commit(unit, *made(TOKEN)),
        lambda: store.fail(unit, ValueError(), 0),
        lambda: store.save_checkpoint(unit, {}, {}),
        lambda: store.state(unit),
    ):
        with pytest.raises(InputError, match="not in the plan"):
            call()


def test_groups_of_other_names_are_refused(store):
    with pytest.raises(SchemaError, match="class"):
        store.commit(TOKEN, *made(TOKEN, classes=list("abcde")))
    with pytest.raises(SchemaError, match="judge"):
        store.commit(TOKEN, *made(TOKEN, judges=("blur", "judge")))
    assert store.done() == []


def test_the_softmax_of_a_unit_is_read_alone(store, monkeypatch):
    store.commit(TOKEN, *made(TOKEN))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit_files, "read_texts", None)
        values, seconds = store.probability(TOKEN)
    np.testing.assert_array_equal(values, made(TOKEN)[0]["samples"]["probability"])
    assert seconds == made(TOKEN)[1]["seconds"]


def test_damage_is_found_set_aside_and_made_again(store):
    store.commit(NAME, *made(NAME))
    store.commit(TOKEN, *made(TOKEN))
    path = store.folder(TOKEN) / "arrays.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 128
    path.write_bytes(data)
    assert list(store.damage()) == [TOKEN]
    assert "arrays.safetensors" in store.damage()[TOKEN]
    moved = store.set_aside(TOKEN)
    assert (moved / "arrays.safetensors").read_bytes() == data
    assert store.state(TOKEN) == "missing"
    store.commit(TOKEN, *made(TOKEN))
    assert store.damage() == {}


# --- checkpoints


def test_a_checkpoint_comes_back_bit_by_bit(store):
    kept = {
        "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "view": torch.arange(12.0).reshape(3, 4).T,
        "state": torch.get_rng_state(),
        "count": torch.tensor(7),
        "grown": torch.ones(2, requires_grad=True),
        "array": np.arange(3, dtype="u1")[::-1],
    }
    kept["shared"] = kept["view"]
    store.save_checkpoint(TOKEN, kept, {"step": 3, "history": [0.1]})
    back, meta = store.load_checkpoint(TOKEN)
    assert meta == {"step": 3, "history": [0.1]}
    assert back.keys() == kept.keys()
    for name, tensor in kept.items():
        wanted = torch.as_tensor(np.array(tensor)) if name == "array" else tensor.detach()
        assert back[name].dtype == wanted.dtype
        assert torch.equal(back[name].nan_to_num(), wanted.nan_to_num()), name


def test_two_generations_are_kept_and_the_older_stands_in(store):
    for step in range(1, 5):
        store.save_checkpoint(TOKEN, tensors(step), {"step": step})
    newest, older = store.checkpoints(TOKEN)[::-1]
    assert store.load_checkpoint(TOKEN)[1] == {"step": 4}
    (newest / "tensors.safetensors").write_bytes(b"")
    back, meta = store.load_checkpoint(TOKEN)
    assert meta == {"step": 3}
    assert torch.equal(back["embedding"], torch.arange(4.0) + 3)
    store.save_checkpoint(TOKEN, tensors(5), {"step": 5})
    assert store.load_checkpoint(TOKEN)[1] == {"step": 5}
    for folder in store.checkpoints(TOKEN):
        (folder / "manifest.json").write_bytes(b"{}")
    assert store.load_checkpoint(TOKEN) is None
    assert older.exists() != newest.exists()


def test_what_no_checkpoint_can_hold_is_refused(store):
    with pytest.raises(InputError, match="tensors"):
        store.save_checkpoint(TOKEN, {"a": np.array(["text"])}, {})
    with pytest.raises(InputError, match="meta"):
        store.save_checkpoint(TOKEN, {}, {"a": torch.ones(1)})
    assert store.load_checkpoint(TOKEN) is None


# --- one run at a time, and who it is


def test_a_second_run_is_refused_and_told_who_runs(store):
    with store.lock():
        code = (
            "from inversion_kit.storage.audit_store import AuditStore\n"
            f"with AuditStore({str(store.path)!r}).lock(): pass"
        )
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 1
        assert "StoreLockedError" in other.stderr
        assert f"process {os.getpid()} on " in other.stderr
        again = AuditStore(store.path).lock()
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()} "):
            again.__enter__()
        assert store.commit(NAME, *made(NAME))
    with AuditStore(store.path).lock():
        pass


def test_progress_tells_a_live_run_from_a_dead_one(store):
    store.commit(NAME, *made(NAME))
    store.fail(BROKEN, ValueError(), 2)
    store.save_checkpoint(TOKEN, tensors(3), {"step": 3})
    idle = AuditFolder(store.path).progress()
    assert (idle.done, idle.failed, idle.missing, idle.total) == (1, 1, 18, 20)
    assert (idle.running, idle.holder) == (False, None)
    assert idle.seconds == made(NAME)[1]["seconds"] + 2
    assert idle.working == {TOKEN: {"step": 3}}
    ready, sender = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=hold, args=(store.path, sender))
    child.start()
    assert ready.recv() == "locked"
    live = AuditFolder(store.path).progress()
    assert live.running is True
    assert live.holder["pid"] == child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    dead = AuditFolder(store.path).progress()
    assert dead.running is False
    assert dead.holder["pid"] == child.pid
    with store.lock():
        assert store.progress().holder["pid"] == os.getpid()


def hold(path, sender):
    with AuditStore(path).lock():
        sender.send("locked")
        signal.pause()


def test_a_status_that_looks_does_not_make_a_run_refuse(store):
    for _ in range(20):
        assert store.running() is False
        with store.lock():
            assert store.running() is True


def test_the_next_run_sweeps_what_killed_ones_left(store):
    store.commit(NAME, *made(NAME))
    left = [
        store.path / f"{durable.PART}1",
        store.path / "units" / f"{durable.PART}1",
        store.path / "failed" / f"{durable.SWEPT}1",
        store.path / "working" / TOKEN.id / f"{durable.PART}1",
        store.path / "working" / NAME.id / "00000001",
    ]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "arrays.safetensors").write_bytes(b"half")
    assert store.done() == [NAME]
    assert store.load_checkpoint(TOKEN) is None
    with store.lock():
        assert not any(folder.exists() for folder in left)
    assert store.damage() == {}


def test_two_workers_that_finish_the_same_unit_commit_it_once(store):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        new = pool.map(commit, [store.path] * 6)
    assert sorted(new) == [False] * 5 + [True]
    assert store.damage() == {}
    assert [p.name for p in (store.path / "units").iterdir()] == [TOKEN.id]


def commit(path):
    return AuditStore(path).commit(TOKEN, *made(TOKEN))


# --- killed, full, read-only, broken


def run(path, done):
    """A run with everything that writes; it goes on where an earlier one was killed."""
    store = AuditStore.create(path, synthetic_plan([1, 2]))
    done()
    with store.lock():
        if store.state(NAME) != "done":
            store.commit(NAME, *made(NAME))
        done()
        for step in range(1, 4):
            back = store.load_checkpoint(TOKEN)
            if store.state(TOKEN) != "done" and (back is None or back[1]["step"] < step):
                store.save_checkpoint(TOKEN, tensors(step), {"step": step})
            done()
        if store.state(TOKEN) != "done":
            store.commit(TOKEN, *made(TOKEN))
        done()
        if store.state(BROKEN) == "missing":
            store.fail(BROKEN, ValueError("black"), 1.0)
        done()


def state_of(path):
    """The state of a run's folder, every file of it checked."""
    if not (path / "audit.json").exists():
        return "nothing"
    store = AuditStore(path)
    assert store.plan.items() >= synthetic_plan([1, 2]).items()
    for unit in store.done():
        back, attributes = store.load(unit)
        assert_same_groups(back, made(unit)[0])
        assert attributes == made(unit)[1]
    checkpoint = None if store.state(TOKEN) == "done" else store.load_checkpoint(TOKEN)
    if checkpoint is not None:
        back, meta = checkpoint
        wanted = tensors(meta["step"])
        assert torch.equal(back["embedding"], wanted["embedding"])
        assert torch.equal(back["state"], torch.from_numpy(wanted["state"]))
    failed = [f["message"] for f in store.failures(BROKEN)]
    return store.done(), checkpoint and checkpoint[1], failed


def kill_and_resume(place, every):
    """Kill a run at its operations, look at what is left, resume it, look again."""
    states = ["nothing"]
    run(place / "whole", lambda: states.append(state_of(place / "whole")))
    killed, number, points = True, 1, 0
    while killed:
        path = place / str(number)
        killed, stages = kill_at(number, lambda done, path=path: run(path, done))
        now = state_of(path)
        assert now in states[stages : stages + 2], f"operation {number}"
        assert killed or stages == len(states) - 1
        run(path, lambda: None)
        assert state_of(path) == states[-1], f"resumed after operation {number}"
        assert list(path.rglob(".*")) == [], f"operation {number}"
        shutil.rmtree(path)
        number, points = number + every, points + killed
    return points


@pytest.fixture
def quick_place(tmp_path):
    """A folder in memory where there is one: what is killed is the process, not the machine."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


def test_killed_at_some_operations_it_is_the_old_or_the_new_state(quick_place):
    assert kill_and_resume(quick_place, 19) > 8


@pytest.mark.slow
def test_killed_at_every_operation_it_is_the_old_or_the_new_state(quick_place):
    points = kill_and_resume(quick_place, 1)
    print(f"killed at {points} operations: 0 unreadable, 0 silently partial")
    assert points > 150


def test_a_full_disk_leaves_what_was_stored_and_the_run_goes_on_after(store):
    store.commit(NAME, *made(NAME))
    code = f"""
import resource, sys
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.errors import StoreError
from inversion_kit.testing import synthetic_unit
store = AuditStore({str(store.path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with store.lock():
    try:
        store.commit(Unit(1, "token", 0), *synthetic_unit(1, "token", 0))
    except StoreError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "free some space and resume" in done.stdout
    assert TOKEN.id in done.stdout
    assert [p.name for p in (store.path / "units").iterdir()] == [NAME.id]
    assert store.damage() == {}
    store.commit(TOKEN, *made(TOKEN))
    assert store.done() == [NAME, TOKEN]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_file_system_without_space_leaves_what_was_stored(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)])
    if mounted.returncode:
        pytest.skip("this system mounts nothing")
    try:
        store = AuditStore.create(place / "audit", synthetic_plan(seeds=range(40)))
        kept = []

        def fill():
            for unit in store.units():
                store.commit(unit, *made(unit))
                kept.append(unit)

        with store.lock(), pytest.raises(StoreError, match="free some space and resume"):
            fill()
        assert len(kept) > 3
        assert store.done() == kept
        assert store.damage() == {}
        assert not list((store.path / "units").glob(".*"))
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        after = store.missing()[0]
        with store.lock():
            assert store.commit(after, *made(after))
        assert store.done() == [*kept, after]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_folder_that_cannot_be_written_can_be_read(store):
    store.commit(NAME, *made(NAME))
    code = f"""
import os
import safetensors.numpy, safetensors.torch  # all that it imports later, while it may
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.errors import StoreError
from inversion_kit.testing import synthetic_unit
import inversion_kit
store = AuditStore({str(store.path)!r})
unit = Unit(1, "token", 0)
inversion_kit.open(store.path)["samples"]["image"].load()  # all that it imports
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for call in (lambda: store.lock().__enter__(), lambda: store.fail(unit, ValueError(), 1),
             lambda: store.commit(unit, *synthetic_unit(1, "token", 0)),
             lambda: store.save_checkpoint(unit, {{}}, {{}})):
    try:
        call()
    except StoreError as error:
        print(error)
print(store.load(Unit(1, "name", 0))[1]["seconds"], store.progress().done)
print(inversion_kit.open(store.path)["samples"]["image"].sizes["label"])
"""
    for folder in [*store.path.rglob("*"), store.path]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    for folder in list(store.path.parents)[:4]:
        folder.chmod(0o755)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        for folder in [store.path, *store.path.rglob("*")]:
            folder.chmod(0o755)
    assert done.stderr == ""
    *messages, numbers, labels = done.stdout.splitlines()
    assert len(messages) == 4
    assert all("make it writable" in message for message in messages)
    assert numbers == f"{made(NAME)[1]['seconds']} 1"
    assert labels == "5"
    assert store.done() == [NAME]


def test_an_error_while_the_plan_is_written_leaves_no_audit(tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(StoreError, match="check the disk"):
        AuditStore.create(tmp_path / "audit", synthetic_plan())
    monkeypatch.undo()
    assert not (tmp_path / "audit" / "audit.json").exists()
    assert AuditStore.create(tmp_path / "audit", synthetic_plan()).missing()


# --- the audit as one tree


def test_what_a_unit_does_not_have_is_filled(store):
    short = Unit(3, "token", 1)
    lengths = {"steps": 2, "checks": 2, "samples": 3, "features": 2}
    store.commit(TOKEN, *made(TOKEN))
    store.commit(short, *made(short, **lengths))
    store.commit(NAME, *made(NAME))
    store.fail(BROKEN, ValueError("black"), 2.0)
    tree = inversion_kit.open(store.path)
    groups, _ = made(short, **lengths)
    one = tree["trajectory"].to_dataset().isel(label=3, arm=1, seed=1)
    np.testing.assert_array_equal(one["loss"][:2], groups["trajectory"]["loss"])
    assert np.isnan(one["loss"][2:]).all()
    assert one["prompt"].values[2:].tolist() == [["", ""]] * 4
    assert (one["noise_seed"][2:] == -1).all()
    assert not one["image"][2:].any()
    feature = tree["samples"]["feature"].isel(label=3, arm=1, seed=1)
    np.testing.assert_array_equal(feature[:3, :2], groups["samples"]["feature"])
    assert np.isnan(feature[3:]).all()
    assert np.isnan(feature[:, 2:]).all()
    assert np.isnan(tree["trajectory"]["loss"].sel(arm="name")).all()
    assert tree["token"]["selected"].values[1].tolist() == [[-1, -1], [2, -1]]
    status = tree["status"].to_dataset()
    assert status["status"].values[2, 1].tolist() == ["missing", "failed"]
    assert status["reason"].values[2, 1, 1] == "ValueError: black"
    assert int((status["status"] == "done").sum()) == 3
    assert tree.attrs["seconds"] == pytest.approx(np.nansum(status["seconds"].values))
    assert tree["samples"]["judge_kind"].values.tolist() == ["classifier", "view"]


@pytest.mark.parametrize(
    "key",
    [
        {"label": [3, 1], "seed": slice(None, None, -1)},
        {"label": 1, "step": slice(1, None, 3), "class": [4, 0]},
        {"arm": [1], "sample": [1, 0], "y": slice(3, None, -2), "channel": 2},
        {"seed": 1, "step": [5, 1, 1]},
        {"label": [], "step": slice(2, 2)},
        {"step": -1, "sample": slice(-1, None)},
    ],
)
@pytest.mark.parametrize("name", ["image", "probability", "prompt", "loss"])
def test_any_part_is_what_numpy_takes_of_the_whole(store, key, name):
    store.commit(TOKEN, *made(TOKEN))
    store.commit(Unit(3, "token", 1), *made(Unit(3, "token", 1), steps=3))
    lazy = inversion_kit.open(store.path)["trajectory"][name]
    whole = lazy.load().copy(deep=True)
    lazy = inversion_kit.open(store.path)["trajectory"][name]
    wanted = {dim: index for dim, index in key.items() if dim in lazy.dims}
    np.testing.assert_array_equal(lazy.isel(wanted).values, whole.isel(wanted).values)
    points = {d: xr.DataArray(v, dims="p") for d, v in (("label", [1, 0]), ("step", [2, 2]))}
    np.testing.assert_array_equal(lazy.isel(points).values, whole.isel(points).values)


def test_only_what_is_used_is_read_and_checked(store):
    for unit in (TOKEN, Unit(3, "token", 1)):
        store.commit(unit, *made(unit))
    path = store.folder(TOKEN) / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"evil")
    tree = inversion_kit.open(store.path)
    assert tree["samples"]["image"].sel(label="yellow", seed=1, arm="token").any()
    with pytest.raises(StoreError, match=f"{TOKEN.id}/arrays.safetensors"):
        tree["samples"]["image"].sel(label="sky", seed=0, arm="token").load()


@pytest.mark.parametrize("file", ["manifest.json", "variables.json"])
def test_a_damaged_description_stops_the_opening_and_is_named(store, file):
    store.commit(TOKEN, *made(TOKEN))
    path = store.folder(TOKEN) / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match=f"{TOKEN.id}/{file}"):
        inversion_kit.open(store.path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version 2: this version reads 4; make the result again"),
        ({"created": 1}, "created"),
        ({"labels": []}, "labels is empty"),
    ],
)
def test_a_plan_of_another_version_or_a_damaged_one_is_named(store, change, says):
    path = store.path / "audit.json"
    path.write_bytes(durable.dump(store.plan | change))
    with pytest.raises(StoreError, match=rf"audit\.json.*{says}"):
        inversion_kit.open(store.path)
    path.write_text("{}")
    with pytest.raises(StoreError, match=r"audit\.json"):
        inversion_kit.open(store.path)


def test_an_audit_of_which_nothing_is_there_opens(store):
    tree = inversion_kit.open(store.path)
    assert (tree["status"]["status"] == "missing").all()
    assert tree["samples"]["probability"].sizes["class"] == 5


def test_a_unit_of_another_plan_is_not_shown(store, tmp_path):
    plan = synthetic_plan(classes=["orange", "sky", "green"])
    other = AuditStore.create(tmp_path / "other", plan)
    other.commit(TOKEN, *made(TOKEN, classes=plan["classes"]))
    shutil.copytree(other.folder(TOKEN), store.folder(TOKEN))
    with pytest.raises(SchemaError, match=r"3 along class, the plan has 5"):
        inversion_kit.open(store.path)


def test_hostile_labels_stay_in_the_folder_and_come_back(tmp_path):
    judges = [[f"judge {name}", "view"] for name in NAMES[:3]]
    plan = synthetic_plan(classes=NAMES, judges=judges, seeds=[0], arms=["token"])
    store = AuditStore.create(tmp_path / "audit", plan)
    for unit in store.units():
        store.commit(unit, *made(unit, classes=NAMES, judges=[name for name, _ in judges]))
    tree = inversion_kit.open(store.path)
    assert tree["samples"]["label"].values.tolist() == NAMES
    assert tree["samples"]["class"].values.tolist() == NAMES
    assert tree["samples"]["judge"].values.tolist() == [name for name, _ in judges]
    for i, unit in enumerate(store.units()):
        wanted = made(unit, classes=NAMES, judges=[name for name, _ in judges])[0]
        back = tree["samples"]["image"].isel(label=i, arm=0, seed=0)
        np.testing.assert_array_equal(back, wanted["samples"]["image"])
    assert os.listdir(tmp_path) == ["audit"]
    for path in store.path.rglob("*"):
        assert path.relative_to(store.path).as_posix().isascii()
        assert len(path.name) < 40


def test_memory_does_not_grow_with_units_that_are_only_opened(tmp_path):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan(seeds=[0], arms=["token"]))
    for unit in store.units():
        store.commit(unit, *made(unit, size=200, samples=30))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(store.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    opened, read = map(float, done.stdout.split())
    assert opened < 10
    assert read > 40  # the measure sees what is read


MEMORY = """
import sys
import inversion_kit
from tests.memory import peak
tree = inversion_kit.open(sys.argv[1])
at = {"label": 2, "sample": 0}
tree["samples"]["image"].isel(at).load()  # all that it imports
with peak() as opened:
    again = inversion_kit.open(sys.argv[1])
    again["samples"]["image"].isel(at).load()
assert tree["validation"]["image"].nbytes > 40 * 2**20
with peak() as read:
    again["validation"]["image"].load()
print(opened[0], read[0])
"""


def test_memory_and_folder_give_the_same_result(store):
    units, states = {}, {}
    for unit in store.units():
        if unit == BROKEN:
            store.fail(unit, ValueError("black"), 2.0)
            states[unit] = "failed", "ValueError: black", 2.0
        elif unit != NAME:
            groups, attributes = made(unit, method="cma", steps=3 + unit.label_index)
            if unit == TOKEN:
                del groups["samples"]
            store.commit(unit, groups, attributes)
            status = "stopped" if unit == TOKEN else "done"
            units[unit], states[unit] = groups, (status, "", attributes["seconds"])
    tree = inversion_kit.open(store.path)
    xr.testing.assert_identical(tree.load(), assemble(store.plan, units, states))
    sky = schema.validate(inversion_kit.open(store.path).sel(label="sky", arm="token"))
    image = sky["trajectory"]["image"]
    assert not image.variable._in_memory  # dimensions come back, pixels are not read
    part = {"label": 0, "arm": [0], "seed": slice(None, None, -1), "step": 1}
    wanted = tree["trajectory"]["image"].sel(label=["sky"], arm=["token"])
    np.testing.assert_array_equal(image.isel(part), wanted.isel(part))
    assert sky["status"]["status"].values.tolist() == [[["stopped", "done"]]]


def test_groups_of_the_whole_result_are_kept_and_replaced(store):
    data = WHOLE["findings"]
    store.write_whole("findings", data)
    store.write_whole("findings", data.isel(finding=[1, 2]).assign_coords(finding=[0, 1]))
    store.write_whole("projection", WHOLE["projection"])
    with pytest.raises(SchemaError, match="/findings/cue"):
        store.write_whole("findings", data.drop_vars("cue"))
    tree = inversion_kit.open(store.path)
    assert tree["findings"].sizes["finding"] == 2
    xr.testing.assert_identical(tree["projection"].to_dataset(), WHOLE["projection"])
    path = store.path / "whole" / "findings" / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"findings/arrays\.safetensors"):
        inversion_kit.open(store.path)


# --- odd folders


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_path_that_no_system_takes_is_refused(tmp_path, name):
    for call in (
        lambda: AuditStore.create(tmp_path / name, synthetic_plan()),
        lambda: inversion_kit.audit(
            "pocket:honest", ["stop"], generator="pocket", arms=["name"], store=tmp_path / name
        ),
        lambda: AuditFolder(tmp_path / name),
        lambda: inversion_kit.open(tmp_path / name),
    ):
        with pytest.raises((InputError, StoreError), match=re.escape(str(tmp_path))):
            call()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["with space", "\N{SNOWMAN}", "-dash", "a'b\"c", "a\nb", "[x]*"])
def test_a_folder_of_any_name_holds_an_audit(tmp_path, name):
    store = AuditStore.create(tmp_path / name, synthetic_plan([1]))
    with store.lock():
        store.commit(TOKEN, *made(TOKEN))
    assert inversion_kit.open(store.path)["samples"]["image"].load().any()
    assert os.listdir(tmp_path) == [name]


def test_what_others_put_into_the_folder_is_left_alone(store):
    store.commit(TOKEN, *made(TOKEN))
    others = [store.path / name / "Thumbs.db" for name in ("", "units", "failed", "working")]
    others.append(store.folder(TOKEN) / ".DS_Store")
    for path in others:
        path.write_text("mine")
    with store.lock():
        assert store.progress().done == 1
        assert store.repair() == {}
    inversion_kit.open(store.path)["samples"]["image"].load()
    assert [path.read_text() for path in others] == ["mine"] * 5


def test_what_a_link_leads_to_is_left_alone(store, tmp_path):
    outside = tmp_path / "outside"
    store.commit(TOKEN, *made(TOKEN))
    store.folder(TOKEN).rename(outside)
    (outside / f"{durable.PART}somebody's").write_text("mine")
    before = sorted(os.listdir(outside))
    store.folder(TOKEN).symlink_to(outside)
    (store.path / "working" / NAME.id).symlink_to(outside)
    with store.lock():
        assert not os.path.lexists(store.path / "working" / NAME.id)
        assert store.damage() == {}
        store.set_aside(TOKEN)
        store.save_checkpoint(NAME, tensors(1), {})
    assert store.state(TOKEN) == "missing"
    assert sorted(os.listdir(outside)) == before


def test_a_file_in_the_place_of_a_unit_is_repaired(store):
    store.folder(TOKEN).write_text("no unit")
    assert not store.commit(TOKEN, *made(TOKEN))
    with pytest.raises(StoreError, match="--repair"):
        store.progress()
    with store.lock():
        assert list(store.repair()) == [TOKEN]
    assert store.commit(TOKEN, *made(TOKEN))
    assert store.damage() == {}
