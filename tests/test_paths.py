"""Paths: what a user gives is a place of this machine, checked before any work is done for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import inversion_kit
from inversion_kit import analysis, paths
from inversion_kit.audits import run as audits
from inversion_kit.bank.bank import Bank
from inversion_kit.classifiers.doctor import read_folder
from inversion_kit.cli import app
from inversion_kit.errors import InputError, InversionError, StoreError
from inversion_kit.reports import write_json
from inversion_kit.storage.audit_store import AuditStore
from inversion_kit.testing import synthetic, synthetic_plan

WRONG = [
    "s3://bucket/run.zarr",
    Path("s3://bucket/run.zarr"),
    "memory://run.zarr",
    "simplecache::s3://bucket/run.zarr",
    "file:///tmp/run.zarr",
    "",
    " ",
    "run\0.zarr",
    b"run.zarr",
    "run\ud800.zarr",
    "~nobody-of-this-name/run.zarr",
    3,
]
"""What is no path of this machine."""


class Elsewhere(os.PathLike):
    """Somebody's own kind of path."""

    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


@pytest.fixture(scope="module")
def tree():
    return synthetic(size=2, samples=2, steps=2)


@pytest.fixture(scope="module")
def stored(tree, tmp_path_factory):
    return inversion_kit.save(tree, tmp_path_factory.mktemp("stored") / "run.zarr")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home and a working folder, both empty."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def calls(tree, stored):
    """Every public call that takes a path, by name; each takes it alone."""
    return {
        "save": lambda path: inversion_kit.save(tree, path),
        "open": inversion_kit.open,
        "consolidate": lambda path: inversion_kit.consolidate(stored, path),
        "consolidate from": lambda path: inversion_kit.consolidate(path, "new"),
        "to_netcdf": lambda path: inversion_kit.to_netcdf(stored, path),
        "to_netcdf from": lambda path: inversion_kit.to_netcdf(path, "new"),
        "export_images": lambda path: inversion_kit.export_images(stored, path),
        "export_images from": lambda path: inversion_kit.export_images(path, "new"),
        "report": lambda path: inversion_kit.report(tree, path),
        "report of": lambda path: inversion_kit.report(path, "new.html"),
        "write_json": lambda path: write_json(analysis.numbers(tree), path),
        "save_token": lambda path: inversion_kit.save_token(tree, path),
        "load_token": inversion_kit.load_token,
        "audit": lambda path: inversion_kit.audit("pocket:honest", "stop", store=path),
        "resume": inversion_kit.resume,
        "an audit's folder": lambda path: AuditStore.create(path, synthetic_plan()),
        "a bank": lambda path: Bank(inversion_kit.as_generator("pocket"), path),
        "as_classifier": inversion_kit.as_classifier,
        "as_generator": inversion_kit.as_generator,
        "doctor's images": lambda path: inversion_kit.doctor("pocket:honest", [path]),
        "a folder of images": read_folder,
    }


@pytest.mark.parametrize("name", list(calls(None, None)))
def test_what_is_no_path_of_this_machine_is_refused_before_any_work(
    name, tree, stored, home, monkeypatch
):
    monkeypatch.setattr(audits, "Task", None)  # nothing is loaded
    call = calls(tree, stored)[name]
    for wrong in WRONG:
        with pytest.raises(InputError):
            call(wrong)
    assert not [path for path in (*home.iterdir(), *Path.cwd().iterdir()) if path.name != ".cache"]


WRITERS = {
    "save": "a/run.zarr",
    "to_netcdf": "a/run.nc",
    "export_images": "a/images",
    "report": "a.html",
    "write_json": "a.json",
    "save_token": "a.safetensors",
    "an audit's folder": "a/audit",
}


@pytest.mark.parametrize("name", WRITERS)
def test_home_is_expanded_and_any_kind_of_path_is_taken(name, tree, stored, home):
    for folder, kind in (("one", str), ("two", Path), ("three", Elsewhere)):
        (home / folder).mkdir()
        calls(tree, stored)[name](kind(f"~/{folder}/{WRITERS[name]}"))
        assert (home / folder / WRITERS[name]).exists()
    assert not list(Path.cwd().iterdir())


def test_what_lies_at_home_is_read(tree, home):
    inversion_kit.save(tree, "~/run.zarr")
    assert inversion_kit.open("~/run.zarr").identical(tree)
    inversion_kit.save_token(tree, "~/sky.safetensors")
    assert inversion_kit.load_token(Elsewhere("~/sky.safetensors")).shape[0] == 1
    inversion_kit.report("~/run.zarr", "~/run.html")
    shutil.copytree(inversion_kit.generators.convert.POCKET, home / "pipeline")
    assert inversion_kit.as_generator("~/pipeline").num_inference_steps


@pytest.mark.parametrize("name", [*WRITERS, "audit", "consolidate"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    name, tree, stored, home, monkeypatch
):
    monkeypatch.setattr(audits, "Task", None)
    (home / "notes").write_text("mine")
    file = Path(WRITERS.get(name, "run")).name
    for folder in (home / "notes", home / "notes" / "deeper", Path("/proc/self/nothing")):
        with pytest.raises(StoreError, match=r"file is where a folder is wanted|written into"):
            calls(tree, stored)[name](folder / file)
    with pytest.raises(StoreError, match="too long"):
        calls(tree, stored)[name](home / ("x" * 300) / file)
    assert (home / "notes").read_text() == "mine"


@pytest.mark.parametrize("name", ["report", "write_json", "save_token"])
def test_a_folder_where_a_file_is_wanted_is_refused(name, tree, home):
    (home / WRITERS[name]).mkdir()
    with pytest.raises(InputError, match="a folder is there; give a file"):
        calls(tree, None)[name](home / WRITERS[name])


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs root to be less")
def test_a_folder_of_somebody_else_is_refused(tree):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    os.seteuid(65534)
    try:
        for path in (folder / "run.zarr", folder / "deep" / "run.zarr"):
            with pytest.raises(StoreError, match="nothing can be written into"):
                paths.place_to_write(path)
        with pytest.raises(StoreError, match="nothing can be written into"):
            paths.folder_to_write(folder)
    finally:
        os.seteuid(0)
        folder.rmdir()


# --- the command line ---------------------------------------------------------------------------

RUNS = {
    "invert": ["invert", "pocket:honest", "stop", "--generator", "pocket", "--steps", "0"],
    "demo": ["demo"],
    "audit": ["audit", "pocket:honest", "--generator", "pocket"],
    "findings": ["findings", "pocket:honest", "--generator", "pocket"],
    "report": ["report", "run.zarr"],
}


@pytest.mark.parametrize("command", RUNS)
def test_the_command_line_refuses_before_the_search(command, home, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("work was begun")

    for name in ("invert", "findings", "open"):
        monkeypatch.setattr(inversion_kit, name, never, raising=False)
    monkeypatch.setattr(audits, "Task", never)
    Path("notes").write_text("mine")
    for out in ("s3://bucket/x", "memory://x", "", "notes/x", "/proc/self/no/x"):
        done = CliRunner().invoke(app, [*RUNS[command], "--out", out])
        assert done.exit_code == 2, (done.output, done.exception)
        assert done.output.startswith("error: ")
    assert os.listdir(".") == ["notes"]


@pytest.mark.parametrize("there", ["run.zarr", "report.html"])
def test_what_cannot_be_replaced_is_said_before_the_search(there, home, monkeypatch):
    monkeypatch.setattr(inversion_kit, "invert", None)
    (home / "out" / there).mkdir(parents=True)
    done = CliRunner().invoke(app, [*RUNS["invert"], "--out", str(home / "out")])
    assert done.exit_code == 2, (done.output, done.exception)
    assert there in done.output
    assert os.listdir(home / "out") == [there]


def test_the_command_line_writes_at_home_in_one_place(home):
    words = ["--samples", "2", "--validation", "2", "--batch", "2", "--restarts", "0"]
    done = CliRunner().invoke(app, [*RUNS["invert"], *words, "--out", "~/x"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert sorted(os.listdir(home / "x")) == ["report.html", "run.zarr"]
    assert not list(Path.cwd().iterdir())
    again = CliRunner().invoke(app, ["report", "~/x/run.zarr", "--out", "~/x/again.html"])
    assert again.exit_code == 0, (again.output, again.exception)
    assert (home / "x" / "again.html").is_file()


def test_an_address_has_more_than_one_letter():
    assert paths.local_path("C:/runs/a").name == "a"
    assert paths.local_path("notes: a/b") == Path("notes: a/b")
    with pytest.raises(InversionError, match="an address"):
        paths.local_path("hf://datasets/x")
