from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from benchmarks import large
from benchmarks.networks import built

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
    quick = [dataclasses.replace(row, batch=1, repeats=1) for row in large.XL_ROWS]
    small = {"steps": 1, "samples": 2, "validation": 2}
    searched = dataclasses.replace(large.ROWS[5], settings={**large.NO_STOP, **small})
    monkeypatch.setattr(large, "XL_ROWS", (*quick, searched))
    kept: list[int] = []
    rows = large.measure(["tiny-xl"], "cpu", keep=lambda found: kept.append(len(found)))
    assert [row for row in rows if "error" in row] == []
    assert kept == [1, 2, 3, 4, 5]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    updates, whole = rows[1:4], rows[4]
    assert all(row["update"] > 0 and row["bare"] > 0 and row["peak_gib"] > 0 for row in updates)
    # an update and two checks through four steps, three arms of evidence, the gap, the rehearsals
    assert whole["evaluations"] == 4 * (8 + 2 * 2 + 3 * 2 + 2) + 6
    assert whole["backwards"] == 8 + 2


def test_rows_that_do_not_fit_are_said() -> None:
    rows = large.measure(["tiny-xl"], "cpu", within=1)
    assert [row["error"][:8] for row in rows[1:]] == ["skipped:"] * len(large.XL_ROWS)


def test_a_row_that_fails_does_not_end_the_others() -> None:
    def full() -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert large.attempted(full) == {"error": "out of memory"}
    assert large.attempted(lambda: {"n": 1 // 0})["error"].startswith("ZeroDivisionError")
