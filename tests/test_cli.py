import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
from typer.testing import CliRunner

import inversion_kit
from inversion_kit.cli import app
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.storage.units import Unit
from inversion_kit.testing import synthetic, synthetic_plan, synthetic_unit
from tests.audits import assert_same

runner = CliRunner()
INVERT = ["invert", "pocket:honest", "stop"]


def test_invert_leaves_a_result_and_a_report(tmp_path):
    out = tmp_path / "run"
    done = runner.invoke(
        app,
        [
            "invert",
            "pocket:honest",
            "yield",
            "--generator",
            "pocket",
            "--judge",
            "pocket:judge",
            "--steps",
            "1",
            "--out",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.output
    assert str(out / "report.html") in done.output.replace("\n", "")
    assert (out / "report.html").stat().st_size > 20_000
    tree = inversion_kit.open(out / "run.zarr")
    assert tree["samples"]["label"].values.tolist() == ["yield"]
    assert tree["projection"].attrs["image_method"] == "neighbours"


def test_invert_without_a_gradient_says_what_it_may_ask(tmp_path):
    out = tmp_path / "run"
    words = ["invert", "pocket:honest", "yield", "--generator", "pocket", "--out", str(out)]
    done = runner.invoke(app, [*words, "--method", "cma", "--queries", "90"])
    assert done.exit_code == 2
    assert "queries=90: at least" in done.output
    done = runner.invoke(app, [*words, "--method", "cma", "--queries", "250", "--steps", "0"])
    assert done.exit_code == 0, done.output
    tree = inversion_kit.open(out / "run.zarr")
    assert 0 < int(tree["ledger"]["queries"].max("entry").sum()) <= 250


def test_invert_in_another_dtype(tmp_path):
    few = ["--steps", "0", "--samples", "1", "--validation", "1", "--arm", "name"]
    words = [*few, "--device", "cpu", "--dtype", "bfloat16", "--out", str(tmp_path)]
    done = runner.invoke(app, [*INVERT, "--generator", "pocket", *words])
    assert done.exit_code == 0, done.output
    kept = inversion_kit.open(tmp_path / "run.zarr").attrs
    assert (json.loads(kept["settings"])["dtype"], kept["device"]) == ("bfloat16", "cpu")


def test_report_is_written_again_from_a_stored_result(tmp_path):
    inversion_kit.save(synthetic(), tmp_path / "run.zarr")
    page = tmp_path / "again.html"
    done = runner.invoke(app, ["report", str(tmp_path / "run.zarr"), "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert page.is_file()


@pytest.fixture
def numbered(tmp_path):
    """The folder of a classifier whose names are numbers, in the order of ImageFolder."""
    names = sorted(map(str, range(12)))  # 0, 1, 10, 11, 2, ...
    config = ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


def test_a_label_that_is_a_number_is_the_class_of_that_name(numbered, tmp_path):
    out = tmp_path / "run"
    words = ["invert", numbered, "10", "--generator", "pocket", "--steps", "0", "--out", str(out)]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    tree = inversion_kit.open(out / "run.zarr")
    assert (tree["samples"]["label"].item(), tree["samples"]["label_index"].item()) == ("10", 2)
    words = ["audit", numbered, *AUDIT[2:], "--label", "10", "--out", str(tmp_path / "audit")]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert inversion_kit.open(tmp_path / "audit")["samples"]["label"].values.tolist() == ["10"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["invert", "pocket:honest", "stopp", "--generator", "pocket"], "nearest: 'stop'"),
        ([*INVERT, "--generator", "no/such/folder"], "no such folder, and no hub id"),
        ([*INVERT, "--generator", "nobody/nothing"], "could not be loaded"),
        ([*INVERT, "--generator", "pocket", "--seed", "1", "--seed", "1"], "different integers"),
        ([*INVERT, "--generator", "pocket", "--device", "abacus"], "there is 'cpu'"),
        ([*INVERT, "--generator", "pocket", "--dtype", "fp16"], "expected one of float32"),
        (["invert", "pocket:nobody", "stop", "--generator", "pocket"], "pocket:honest"),
        (["report", "nowhere.zarr"], "no stored result"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, words)
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert done.output.count("\n") == 1
    assert says in done.output
    assert not any(tmp_path.iterdir())
    assert "Traceback" not in done.output


def test_the_module_runs_and_names_its_commands():
    done = subprocess.run(
        [sys.executable, "-m", "inversion_kit", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(word in done.stdout for word in ("demo", "invert", "report"))


@pytest.mark.slow
def test_demo_runs_as_it_is(tmp_path):
    done = runner.invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "demo" / "report.html").is_file()


# --- audits

AUDIT = [
    "audit",
    "pocket:honest",
    "--generator",
    "pocket",
    "--arm",
    "name",
    "--view",
    "blur",
    "--seeds",
    "1",
    "--samples",
    "2",
]


def test_audit_status_and_resume_say_what_became_of_the_units(tmp_path):
    out = str(tmp_path / "audit")
    done = runner.invoke(app, [*AUDIT, "--label", "stop", "--label", "yield", "--out", out])
    assert done.exit_code == 0, done.output
    assert "2 of 2 units done, 0 failed, 0 missing" in done.output
    tree = inversion_kit.open(out)
    assert len(tree["samples"]["label"]) == 2
    assert tree["projection"].attrs["left_out"] == 0

    store = AuditStore(out)
    first, second = store.done()
    for unit in (first, second):
        store.set_aside(unit)
    store.fail(first, RuntimeError("it was raining"), 1.0)
    seen = runner.invoke(app, ["status", out])
    assert seen.exit_code == 0
    assert "0 of 2 units done, 1 failed, 1 missing" in seen.output
    assert "RuntimeError: it was raining" in seen.output

    again = runner.invoke(app, ["resume", out])
    assert again.exit_code == 1
    assert "1 of 2 units done, 1 failed, 0 missing" in again.output
    assert set(inversion_kit.open(out)["projection"]["of_label"].values) == {"stop"}
    retried = runner.invoke(app, ["resume", out, "--retry-failed"])
    assert retried.exit_code == 0, retried.output
    assert "2 of 2 units done" in retried.output
    assert set(inversion_kit.open(out)["projection"]["of_label"].values) == {"stop", "yield"}


def test_status_of_a_running_audit_is_read_by_another_process(tmp_path):
    words = [*AUDIT, "--label", "stop", "--out", str(tmp_path / "audit")]
    assert runner.invoke(app, words).exit_code == 0
    store = AuditStore(tmp_path / "audit")
    store.set_aside(store.done()[0])
    with store.lock():
        seen = subprocess.run(
            [sys.executable, "-m", "inversion_kit", "status", str(store.path)],
            capture_output=True,
            text=True,
            check=True,
        )
        refused = runner.invoke(app, words)
    assert f"running: process {os.getpid()} on" in seen.stdout
    assert "0 of 1 units done" in seen.stdout
    assert "stopped" not in seen.stdout
    assert refused.exit_code == 2
    assert f"another run works on it (process {os.getpid()} on" in refused.output
    assert "running:" not in runner.invoke(app, ["status", str(store.path)]).output


def test_status_of_an_audit_in_work_and_of_a_killed_one(tmp_path):
    out = tmp_path / "audit"
    words = [
        "audit",
        "pocket:honest",
        "--generator",
        "pocket",
        "--label",
        "yield",
        "--arm",
        "name",
        "--arm",
        "token",
        "--view",
        "blur",
        "--seeds",
        "1",
        "--samples",
        "2",
        "--steps",
        "5",
        "--out",
        str(out),
    ]
    run = subprocess.Popen([sys.executable, "-m", "inversion_kit", *words], stderr=subprocess.PIPE)
    try:
        while run.poll() is None and not list(out.glob("working/*/0*")):
            time.sleep(0.01)
        run.send_signal(signal.SIGSTOP)  # it stands still and holds the folder
        assert run.poll() is None, run.stderr.read()
        seen = runner.invoke(app, ["status", str(out)])
        refused = runner.invoke(app, ["resume", str(out)])
    finally:
        run.kill()
        run.communicate()
    assert seen.exit_code == 0, seen.output
    assert "1 of 2 units done, 0 failed, 1 missing" in seen.output
    assert f"running: process {run.pid} on" in seen.output
    assert "in work: yield, token, seed 0: " in seen.output
    assert "left: about" in seen.output
    assert refused.exit_code == 2
    assert f"process {run.pid} on" in refused.output

    dead = runner.invoke(app, ["status", str(out)])
    assert "running:" not in dead.output
    assert "1 of 2 units done, 0 failed, 1 missing" in dead.output
    assert f"stopped (process {run.pid} on {socket.gethostname()} no longer runs); " in dead.output
    assert f"go on with: inversion-kit resume {out}\n" in dead.output
    assert "begun: yield, token, seed 0: " in dead.output
    assert "in work:" not in dead.output


def test_status_counts_what_is_begun_and_estimates_each_arm(tmp_path):
    plan = synthetic_plan([1, 2, 3], seeds=[0, 1])
    plan["settings"]["sources"] = None  # it was made of objects
    store = AuditStore.create(tmp_path / "an audit", plan)
    for label, arm, took in ((1, "name", 2), (2, "name", 4), (1, "token", 60)):
        groups, attributes = synthetic_unit(label, arm, 0)
        store.commit(Unit(label, arm, 0), groups, {**attributes, "seconds": took})
    store.fail(Unit(2, "token", 0), ValueError("black"), 5.0)
    store.save_checkpoint(Unit(3, "token", 0), {}, {"seconds": 30.0})
    seen = runner.invoke(app, ["status", str(store.path)]).output
    assert "spent: 1 min 41 s\n" in seen  # 2 + 4 + 60 + 5 + 30
    assert "left: about 4 min 12 s, by one worker\n" in seen  # 4 x 3 + 4 x 60
    assert "stopped; go on with: audit(...) called again" in seen

    store.set_aside(Unit(1, "token", 0))
    seen = runner.invoke(app, ["status", str(store.path)]).output
    assert "left: about 27 s, by one worker; no unit of token is done yet" in seen  # 9 x 3
    for unit in store.done():
        store.set_aside(unit)
    assert "left:" not in runner.invoke(app, ["status", str(store.path)]).output


def test_what_goes_on_is_said_so_that_a_shell_takes_it(tmp_path):
    plan = synthetic_plan([1], seeds=[0])
    plan["settings"]["sources"] = {"model": "pocket:honest", "generator": "pocket", "judges": []}
    store = AuditStore.create(tmp_path / "an audit", plan)
    seen = runner.invoke(app, ["status", str(store.path)]).output
    assert f"stopped; go on with: inversion-kit resume '{store.path}'\n" in seen


def test_a_file_in_the_place_of_the_folder_is_called_a_file(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for out in (tmp_path / "notes", tmp_path / "notes" / "audit"):
        done = runner.invoke(app, [*AUDIT, "--label", "stop", "--out", str(out)])
        assert done.exit_code == 2
        assert "a file is where a folder is wanted" in done.output
        assert "check the disk" not in done.output
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.slow
def test_workers_make_the_same_audit(tmp_path):
    pytest.importorskip("distributed")
    words = [*AUDIT, "--label", "stop", "--label", "yield", "--label", "no entry"]
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        done = subprocess.run(
            [sys.executable, "-m", "inversion_kit", *words, "--out", str(tmp_path / name), *more],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "3 of 3 units done" in done.stdout
    assert_same(*(inversion_kit.open(tmp_path / name) for name in ("one", "two")))
    store = AuditStore(tmp_path / "two")
    for unit in store.done():
        store.set_aside(unit)
    words = ["resume", str(store.path), "--workers", "2"]
    again = subprocess.run([sys.executable, "-m", "inversion_kit", *words], capture_output=True)
    assert again.returncode == 0, again.stderr
    assert len(store.done()) == 3
    assert_same(*(inversion_kit.open(tmp_path / name) for name in ("one", "two")))


def test_a_dry_run_prints_an_estimate_and_makes_nothing(tmp_path):
    out = tmp_path / "audit"
    done = runner.invoke(app, [*AUDIT, "--label", "stop", "--dry-run", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "1 x name" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*AUDIT, "--label", "stopp"], "nearest"),
        ([*AUDIT, "--budget", "soon"], "budget="),
        (["resume", "nowhere"], "no audit there"),
        (["status", "nowhere"], "no audit there"),
    ],
)
def test_a_mistake_in_an_audit_is_one_line_and_an_exit_code(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, words)
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output
