"""A damaged audit: seen, set aside and made again, in a shell and in Python."""

from __future__ import annotations

import os
import shutil

import pytest
from typer.testing import CliRunner

import inversion_kit
from inversion_kit import audit, resume
from inversion_kit.cli import app
from inversion_kit.errors import InputError, StoreError, StoreLockedError
from inversion_kit.storage import durable
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic_plan, synthetic_unit
from tests.audits import SMALL, assert_same

runner = CliRunner()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An audit of two labels in two arms that nothing harmed."""
    path = tmp_path_factory.mktemp("whole") / "audit"
    given = {**SMALL, "steps": 1, "restarts": 0, "samples": 2, "arms": ["name", "token"]}
    audit(
        "pocket:honest",
        ["stop", "yield"],
        generator="pocket",
        views=["blur"],
        seeds=1,
        store=path,
        **given,
    )
    return path


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "audit")
    return AuditStore(tmp_path / "audit")


def harm(folder, harmed):
    """Damage one of a unit's files; which."""
    if harmed == "flipped":
        path = folder / "arrays.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif harmed == "cut":
        path = folder / "unit.json"
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path = folder / "manifest.json"
        path.unlink()
    return path


def stamps(store, besides):
    """Inode, time of change and bytes of every file of the other units."""
    files = [p for p in (store.path / "units").rglob("*") if besides.id not in p.parts]
    return {
        p: (p.stat().st_ino, p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in files
    }


@pytest.mark.parametrize("harmed", ["flipped", "cut", "missing"])
def test_a_damaged_unit_is_found_set_aside_and_made_again(copied, whole, harmed):
    unit = copied.done()[1]
    assert unit.arm == "token"
    path = harm(copied.folder(unit), harmed)
    others = stamps(copied, unit)
    said = runner.invoke(app, ["status", str(copied.path), "--verify"])
    assert said.exit_code == 1, said.output
    assert f"damaged: yield, token, seed 0: path='{path}'" in said.output
    assert durable.REPAIR in said.output
    assert "--repair" in durable.REPAIR
    assert "stop" not in said.output

    done = runner.invoke(app, ["resume", str(copied.path), "--repair"])
    assert done.exit_code == 0, done.output
    assert f"set aside: yield, token, seed 0: path='{path}'" in done.output
    assert "4 of 4 units done" in done.output
    again = inversion_kit.open(copied.path)
    assert_same(again.drop_nodes("projection"), inversion_kit.open(whole))
    assert stamps(copied, unit) == others
    (kept,) = (copied.path / "damaged").iterdir()
    assert kept.name.startswith(f"{unit.id}-")
    assert len(list(kept.iterdir())) == 3 + (harmed != "missing")
    said = runner.invoke(app, ["status", str(copied.path), "--verify"])
    assert said.exit_code == 0
    assert "no unit is damaged" in said.output


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of diffusers, warned once more
def test_resume_repairs_in_python_and_leaves_what_is_whole(copied, whole):
    unit = copied.done()[0]
    path = harm(copied.folder(unit), "flipped")
    with pytest.warns(RuntimeWarning, match=f"set aside:\npath='{path}'"):
        tree = resume(copied.path, repair=True, progress=False)
    assert_same(tree, inversion_kit.open(whole))
    everything = stamps(copied, Unit(9, "name", 9))
    resume(copied.path, repair=True, progress=False)
    assert stamps(copied, Unit(9, "name", 9)) == everything


def test_an_audit_of_objects_is_repaired_and_called_again(
    make_generator, make_classifier, tmp_path
):
    def run():
        return audit(
            make_classifier(),
            ["cat", "dog"],
            generator=make_generator(),
            arms=["name"],
            views=["blur"],
            seeds=1,
            samples=2,
            store=tmp_path,
            progress=False,
        )

    wanted = run().load()
    store = AuditStore(tmp_path)
    unit = store.done()[1]
    harm(store.folder(unit), "flipped")
    with (
        pytest.warns(RuntimeWarning, match=unit.id),
        pytest.raises(InputError, match=r"call audit\(\.\.\.\) again"),
    ):
        resume(tmp_path, repair=True)
    assert store.missing() == [unit]
    assert_same(run(), wanted)


def test_a_damaged_record_of_a_failure_is_set_aside_too(tmp_path):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan([1], seeds=[0]))
    unit, once = Unit(1, "token", 0), Unit(1, "name", 0)
    for each in (unit, unit, once):
        store.fail(each, ValueError("black"), 1.0)
    for path in (store.attempts(unit)[0], store.attempts(once)[0]):
        (path / "failure.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"failure\.json"):
        store.progress()
    with store.lock():
        assert sorted(store.repair()) == [once, unit]
    assert store.failed() == [unit]
    assert store.missing() == [once]
    assert len(os.listdir(store.path / "damaged")) == 2


def test_a_unit_that_is_another_audits_is_damage(tmp_path):
    store = AuditStore.create(tmp_path / "audit", synthetic_plan([1], seeds=[0]))
    plan = synthetic_plan([1], classes=list("abcde"))
    other = AuditStore.create(tmp_path / "other", plan)
    unit = Unit(1, "token", 0)
    other.commit(unit, *synthetic_unit(1, "token", 0, classes=plan["classes"]))
    shutil.copytree(other.folder(unit), store.folder(unit))
    assert "class differs from the plan's" in store.damage()[unit]


def test_nothing_is_set_aside_while_another_run_works(copied):
    unit = copied.done()[0]
    harm(copied.folder(unit), "flipped")
    with copied.lock():
        with pytest.raises(StoreLockedError):
            resume(copied.path, repair=True)
        said = runner.invoke(app, ["resume", str(copied.path), "--repair"])
    assert said.exit_code == 2
    assert copied.state(unit) == "done"
