"""Units on a dask cluster: committed exactly once whatever dies, equal to those made here."""

from __future__ import annotations

import os
import pickle
import random
import signal
import socket
import threading
import weakref

import pytest

from inversion_kit import audit
from inversion_kit.arms import check_arms
from inversion_kit.audits import executors, plan, run
from inversion_kit.audits.bench import Bench
from inversion_kit.audits.executors import InProcess
from inversion_kit.audits.plan import Task, task_of
from inversion_kit.audits.schedule import in_order, seconds_of
from inversion_kit.audits.units import Outcome
from inversion_kit.errors import InputError, StoreError
from inversion_kit.generators.base import Generator
from inversion_kit.settings import Settings
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.testing import synthetic_plan, synthetic_unit
from tests.audits import SMALL, assert_same

SETTINGS = {**SMALL, "steps": 1, "restarts": 0, "views": ["blur"], "arms": ["name", "token"]}


@pytest.fixture(scope="module")
def quick(make_pipeline):
    return Generator(make_pipeline(), name="tiny", num_inference_steps=2, guidance_scale=2.0)


def task_for(model="pocket:honest", generator="pocket", **settings):
    """One that makes nothing but name prompts, unless it is asked for more."""
    usual = {"samples": 3, "views": ["blur"], **settings}
    return Task(model, generator, (), check_arms(["name"]), Settings(**usual), "k")


def test_a_task_travels_without_the_loaded_models(classifier, quick):
    task = task_for(classifier, quick)
    assert not task.named
    assert task.load() is task.load()
    assert task.__getstate__()["_bench"] is None
    assert pickle.loads(pickle.dumps(task_for())).named
    assert not task_for(objective=lambda logits, target: target).named  # it may hold a classifier


def test_in_process_takes_a_unit_only_when_the_one_before_is_done(classifier, quick, tmp_path):
    audit(
        classifier,
        generator=quick,
        **{**SETTINGS, "arms": ["name"]},
        seeds=1,
        store=tmp_path,
        budget=1e-3,
    )
    store = AuditStore(tmp_path)
    task = task_for(classifier, quick)
    seen = []

    def units():
        for unit in store.missing():
            seen.append(len(store.done()))
            yield unit

    assert [o.status for o in InProcess().run(task, store, units())] == ["done"] * 4
    assert seen == [0, 1, 2, 3]


def planned(tmp_path, model="pocket:honest", **given):
    """The store and the task of an audit of the pocket of which nothing is made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_run", lambda *args, **named: None)
        audit(
            model,
            ["stop"],
            generator="pocket",
            arms=["name"],
            views=[],
            seeds=1,
            samples=2,
            progress=False,
            store=tmp_path,
            **given,
        )
    return AuditStore(tmp_path), task_of(AuditStore(tmp_path))


@pytest.fixture
def fresh(monkeypatch):
    """A worker process that has loaded nothing."""
    monkeypatch.setattr(executors, "_loaded", {})


def test_a_worker_makes_what_the_plan_says(tmp_path, fresh):
    store, task = planned(tmp_path)
    (unit,) = store.missing()
    assert executors._on_worker(task, str(tmp_path), unit, threading.Event()).status == "done"
    assert executors._on_worker(task, str(tmp_path), unit, threading.Event()).status == "done"
    assert store.done() == [unit]


def test_a_worker_with_other_weights_or_libraries_is_refused_by_host(tmp_path, fresh, monkeypatch):
    store, task = planned(tmp_path)
    task.model = "pocket:shortcut"  # what the name stands for on the worker's machine
    host = f"host {socket.gethostname()!r} has other models.*leave that worker out"
    with pytest.raises(InputError, match=f"{host}.*classifier_hash: there"):
        executors._on_worker(task, str(tmp_path), store.missing()[0], threading.Event())
    task = task_of(store)
    monkeypatch.setattr(plan, "versions", lambda: store.plan["versions"] | {"torch": "1.0"})
    with pytest.raises(InputError, match=rf"{host}.*versions\.torch: there .*, here '1\.0'"):
        executors._on_worker(task, str(tmp_path), store.missing()[0], threading.Event())
    assert len(store.missing()) == 1
    assert not executors._loaded


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path, fresh):
    store, task = planned(tmp_path / "here")
    with pytest.raises(StoreError, match=r"worker on host .* does not see .*same path.*store="):
        executors._on_worker(task, str(tmp_path / "there"), store.missing()[0], threading.Event())


def test_a_worker_begins_nothing_once_it_is_stopped(tmp_path, fresh):
    store, task = planned(tmp_path)
    stop = threading.Event()
    stop.set()
    assert executors._on_worker(task, str(tmp_path), store.missing()[0], stop) is None
    assert len(store.missing()) == 1


begun = threading.Event()


def at_work_until_stopped(handed, path, unit, stop):
    """In the place of `_on_worker`: every unit but the first is at work until it is to stop."""
    with executors._at_work:
        if stop.is_set():
            return None
        while unit.seed and not stop.is_set():
            begun.set()
        AuditStore(path).commit(unit, *synthetic_unit(unit.label_index, unit.arm, unit.seed))
        return Outcome(unit, "done", 1.0)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")
def test_what_workers_have_begun_is_finished_before_the_folder_is_free(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "_on_worker", at_work_until_stopped)
    begun.clear()
    folder_plan = synthetic_plan([1], arms=["token"], seeds=range(6))
    store = AuditStore.create(tmp_path / "audit", folder_plan)
    task = task_for()
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        made = executors.Dask(client).run(task, store, in_order(store.missing(), ["token"]))
        assert next(made).unit.seed == 0
        assert begun.wait()
        with pytest.warns(RuntimeWarning, match="finish the units that they have begun"):
            made.close()
        assert [unit.seed for unit in store.done()] == [0, 1]
    assert [unit.seed for unit in store.done()] == [0, 1]


loaded: list[weakref.ref] = []
alive: list[list[bool]] = []


def looking(handed, path, unit, stop):
    """In the place of `_on_worker`: which of the models loaded so far are still in memory."""
    alive.append([model() is not None for model in loaded])
    AuditStore(path).commit(unit, *synthetic_unit(unit.label_index, unit.arm, unit.seed))
    return Outcome(unit, "done", 1.0)


@pytest.mark.parametrize("budget", [None, "1h"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")
def test_the_client_lets_go_of_models_that_workers_load_by_name(tmp_path, monkeypatch, budget):
    distributed = pytest.importorskip("distributed")
    load = Bench.load

    def watched(*given):
        bench = load(*given)
        loaded.extend(weakref.ref(one) for one in (bench, bench.classifier, bench.generator))
        loaded.append(weakref.ref(bench.generator.denoiser))
        return bench

    monkeypatch.setattr(Bench, "load", watched)
    monkeypatch.setattr(executors, "_on_worker", looking)
    loaded.clear()
    alive.clear()
    store = AuditStore.create(tmp_path / "audit", synthetic_plan([1], arms=["name"], seeds=[0]))
    task = task_for()
    task.load()
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        limit = None if budget is None else seconds_of(budget)
        run._run(task, store, client, limit, False)
    assert alive == [[False] * 4]  # loaded once, and gone while a worker is at work


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")
def test_workers_with_several_threads_make_one_unit_at_a_time(classifier, quick, tmp_path):
    distributed = pytest.importorskip("distributed")
    given = {**SETTINGS, "generator": quick, "seeds": 1}
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        made = audit(classifier, client=client, store=tmp_path, **given).load()
    assert_same(made, audit(classifier, **given))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:unclosed")
def test_killing_workers_at_random_loses_and_doubles_nothing(classifier, quick, tmp_path):
    distributed = pytest.importorskip("distributed")
    given = {**SETTINGS, "generator": quick, "seeds": 4}  # 32 units
    over, kills = threading.Event(), []

    def kill(cluster):
        choose = random.Random(0)
        store = None
        while len(kills) < 6 and not over.wait(0.2):
            store = store or (AuditStore(tmp_path) if (tmp_path / "audit.json").exists() else None)
            if store is None or len(store.done()) < 4 * len(kills) + 1:
                continue
            alive = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
            if not alive:
                continue
            victims = alive if len(kills) == 2 else [choose.choice(alive)]  # once all at once
            for pid in victims:
                if pid not in kills:
                    os.kill(pid, signal.SIGKILL)
                    kills.append(pid)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        killer = threading.Thread(target=kill, args=(cluster,))
        killer.start()
        try:
            made = audit(classifier, client=client, store=tmp_path, **given).load()
        finally:
            over.set()
            killer.join()
    assert len(kills) >= 5
    store = AuditStore(tmp_path)
    assert len(store.done()) == 32
    assert len(list((tmp_path / "units").iterdir())) == 32
    assert not store.damage()
    assert_same(made, audit(classifier, **given))
