"""Units on a dask cluster: committed exactly once whatever dies, equal to those made here."""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading

import pytest

from inversion_kit import audit
from inversion_kit.audits.executors import InProcess, Spec
from inversion_kit.generators.base import Generator
from inversion_kit.storage.audit_store import AuditStore
from tests.audits import SMALL, assert_same
from tests.test_search_state import PLAN

SETTINGS = {**SMALL, "steps": 1, "restarts": 0, "views": ["blur"], "arms": ["name", "token"]}


@pytest.fixture(scope="module")
def quick(make_pipeline):
    return Generator(make_pipeline(), name="tiny", num_inference_steps=2, guidance_scale=2.0)


def test_a_spec_travels_without_the_loaded_models(classifier, quick):
    spec = Spec("k", classifier, quick, (), (), {}, PLAN, 1)
    assert not spec.named
    assert spec.load() is spec.load()
    assert pickle.loads(pickle.dumps(Spec("k", "pocket:honest", None, (), (), {}, PLAN, 1))).named
    assert spec.__getstate__()["loaded"] is None


def test_in_process_takes_a_unit_only_when_the_one_before_is_done(classifier, quick, tmp_path):
    audit(classifier, generator=quick, **{**SETTINGS, "arms": ["name"]}, seeds=1, store=tmp_path,
          budget=1e-3)  # fmt: skip
    store = AuditStore(tmp_path)
    spec = Spec("k", classifier, quick, (), ("blur",), {}, PLAN, 3)
    seen = []

    def units():
        for unit in store.missing():
            seen.append(len(store.done()))
            yield unit

    assert [o.status for o in InProcess().run(spec, store, units())] == ["done"] * 4
    assert seen == [0, 1, 2, 3]


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
