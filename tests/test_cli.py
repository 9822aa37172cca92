import subprocess
import sys

import pytest
from typer.testing import CliRunner

import inversion_kit
from inversion_kit.cli import app
from inversion_kit.testing import synthetic_run

runner = CliRunner()


def test_invert_leaves_a_result_and_a_report(tmp_path):
    out = tmp_path / "run"
    done = runner.invoke(
        app,
        [
            "invert", "pocket:honest", "yield", "--generator", "pocket", "--judge", "pocket:judge",
            "--steps", "1", "--out", str(out),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert str(out / "report.html") in done.output.replace("\n", "")
    assert (out / "report.html").stat().st_size > 20_000
    assert inversion_kit.open(out / "run.zarr").attrs["label"] == "yield"


def test_report_is_written_again_from_a_stored_result(tmp_path):
    inversion_kit.save(synthetic_run(), tmp_path / "run.zarr")
    page = tmp_path / "again.html"
    done = runner.invoke(app, ["report", str(tmp_path / "run.zarr"), "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert page.is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["invert", "pocket:honest", "stopp", "--generator", "pocket"], "nearest"),
        (["invert", "pocket:nobody", "stop", "--generator", "pocket"], "pocket:honest"),
        (["report", "nowhere.zarr"], "no stored result"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(words, says):
    done = runner.invoke(app, words)
    assert done.exit_code == 2
    assert says in done.output
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
