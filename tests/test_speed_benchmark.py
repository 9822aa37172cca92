from __future__ import annotations

import dataclasses
import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import imagenet, large, speed
from benchmarks.networks import built
from benchmarks.peak import Peak
from inversion_kit.settings import Settings

PUBLISHED = {
    "sd15": {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
    "sdxl": {
        "unet": 2_567_463_684,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
        "vae": 83_653_863,
    },
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_networks_are_as_large_as_the_published_ones(size: str) -> None:
    pipeline, _ = built(size, "meta", torch.bfloat16)
    counts = {
        name: sum(weight.numel() for weight in part.parameters())
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
    assert counts == PUBLISHED[size]


def test_every_row_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *updates, whole = large.XL_ROWS
    small = {"steps": 1, "samples": 2, "validation": 2}
    searched = dataclasses.replace(whole, settings={**large.NO_STOP, **small}, limit=1.0)
    quick = [dataclasses.replace(row, batch=1, repeats=1) for row in updates]
    monkeypatch.setattr(large, "XL_ROWS", (*quick, searched, large.ONCE))
    kept: list[int] = []
    rows = large.measure(["tiny-xl"], "cpu", keep=lambda found: kept.append(len(found)))
    assert [row for row in rows if "error" in row] == []
    assert kept == list(range(1, len(quick) + 4))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    _, *several, searching, once = rows
    assert all(row["update"] > 0 and row["bare"] > 0 and row["peak_gib"] > 0 for row in several)
    # an update and two checks through four steps, three arms of evidence, the gap, the rehearsals
    assert searching["evaluations"] == 4 * (8 + 2 * 2 + 3 * 2 + 2) + 6
    assert searching["backwards"] == 8 + 2
    assert (once["evaluations"], once["backwards"], once["gradient_checkpointing"]) == (4, 1, "")
    again = large.measure(["tiny-xl"], "cpu", done=[*rows[:-1], {**once, "error": "killed"}])
    assert again[:-2] == rows[:-1]  # and the networks are built once more, for the last row
    assert again[-1]["setting"] == once["setting"]
    assert large.measure(["tiny-xl"], "cpu", done=again) == again


def test_of_large_networks_the_cpu_makes_one_update() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert large.rows_of("sd15", cpu) == (large.ONCE,)
    assert large.rows_of("tiny", cpu) == large.rows_of("sd15", gpu) == large.ROWS
    assert {row.limit for row in large.ROWS} == {None, 12.0}
    probed = [
        row for row in large.ROWS if row.settings is not None and "restarts" not in row.settings
    ]
    assert probed == [large.DEFAULT]


def test_rows_that_do_not_fit_are_said() -> None:
    rows = large.measure(["tiny-xl"], "cpu", within=1)
    assert [row["error"][:8] for row in rows[1:]] == ["skipped:"] * len(large.XL_ROWS)


def test_what_a_row_noticed_of_memory_is_forgotten_by_the_next() -> None:
    pipeline, tiny = built("tiny", "cpu", torch.float32)
    models = large.classifiers("cpu", toy=True)
    generator = large.sampled_by(pipeline, tiny, "tiny", large.FOUR)
    models[0].fitted = {"updates": 1}  # type: ignore[attr-defined]
    generator.denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
    row = large.measured(large.ONCE, generator, models, Path())
    assert row["gradient_checkpointing"] == ""
    assert not hasattr(models[0], "fitted")


def test_the_peak_is_that_of_a_piece_of_work() -> None:
    gc.collect()  # what other tests left must not be given back meanwhile
    peak = Peak()
    before = peak.mb()
    held = torch.ones(25_000_000)  # 100 MB
    during = peak.mb()
    del held
    assert during - before == pytest.approx(100, abs=20)
    assert peak.mb() == pytest.approx(during, abs=5)
    peak.restart()
    if Path("/proc/self/clear_refs").exists():
        assert peak.mb() < during - 50


def run_of(seed: int, cost: int | None) -> speed.Run:
    marks = {0.7: cost, 0.9: None}
    return speed.Run(
        "mine",
        "stop",
        seed,
        evaluations=marks,
        backwards={0.7: cost and cost // 2, 0.9: None},
        seconds={0.7: cost and 1.5, 0.9: None},
        peak={0.7: cost and 900.0, 0.9: None},
        whole=100,
        whole_backwards=50,
        whole_peak=1000.0,
        success=0.75,
        judge=0.5,
    )


def test_the_table_has_gradients_and_memory_and_says_never() -> None:
    line = speed.table([run_of(0, 40), run_of(1, 60), run_of(2, None)]).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["mine", "2 of 3", "50", "25"]
    assert cells[4:7] == ["0 of 3", "never", "never"]
    assert cells[7:] == ["1.5", "900", "100", "75%", "50%"]


def test_a_benchmark_that_was_stopped_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    given = {"labels": [14], "recipes": ["default"]}
    kept: list[int] = []
    first = speed.compare(seeds=1, keep=lambda runs: kept.append(len(runs)), **given)
    speed.write(out, {"runs": [dataclasses.asdict(run) for run in first]})
    assert not list(tmp_path.glob("*.part"))
    read = [speed.Run.read(run) for run in json.loads(out.read_text())["runs"]]
    assert read == first
    assert speed.compare(seeds=1, done=read, keep=lambda runs: kept.append(0), **given) == first
    assert kept == [1]
    assert first[0].evaluations[0.7] == first[0].whole > first[0].whole_backwards > 0
    assert first[0].peak[0.7] == first[0].whole_peak > 100


def test_a_row_that_fails_does_not_end_the_others() -> None:
    def full() -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert large.attempted(full) == {"error": "out of memory"}
    assert large.attempted(lambda: {"n": 1 // 0})["error"].startswith("ZeroDivisionError")


def test_an_audit_of_imagenet_is_computed_from_measured_rows() -> None:
    rows = [
        {"size": "sd15", "setting": name, "update": seconds, "batch": 8}
        for name, seconds in imagenet.H100.items()
    ]
    rows += [{**row, "size": "other", "update": 100.0} for row in rows]
    rows += [{"size": "sd15", "setting": imagenet.FOUR, "error": "out of memory"}]
    assert imagenet.measured(rows, "sd15") == imagenet.H100
    text = imagenet.said(imagenet.H100)
    assert "computed, not run" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + 2 * 4
    assert "no estimate without the rows" in imagenet.said({imagenet.FOUR: 0.46})


def test_hours_of_imagenet_are_those_of_the_planner() -> None:
    of = imagenet.parts(search=0.8, evidence=1.6)
    alone = imagenet.Plan("names", (((("name",), 1000, 3)),))
    spent = imagenet.hours(alone, of, Settings())
    assert spent["name"]["likely"] == pytest.approx(1000 * 3 * 32 * 0.2 / 3600)
    whole = imagenet.hours(imagenet.PLANS[0], of, Settings())
    assert max(whole, key=lambda arm: whole[arm]["likely"]) == "shuffled"
    pieces = imagenet.pieces(of, Settings())
    assert sum(pieces.values()) == pytest.approx(sum(arm["likely"] for arm in whole.values()))
    assert min(pieces.values()) > 0
