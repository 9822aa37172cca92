"""How often a 95 % interval of a share covers the truth: ``python benchmarks/coverage.py``.

The truth is the mean over runs. Runs have shares of their own, drawn from a beta distribution with
that mean and a standard deviation; each has 32 test images. Printed beside the coverage is that of
the bootstrap over runs and noises alone, and the mean width of our interval.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from inversion_kit.analysis import intervals


def main(
    rows: Annotated[int, typer.Option(help="Repeats of each line.")] = 1000,
    images: Annotated[int, typer.Option(help="Test images of a run.")] = 32,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Print a line a number of runs, mean and spread."""
    rng = np.random.default_rng(seed)
    typer.echo("runs  mean  spread  covered  by the bootstrap alone  width")
    for runs in (2, 3, 5):
        for mean in (0.6, 0.95):
            for spread in (0.0, 0.1, 0.2, 0.3):
                if spread**2 >= mean * (1 - mean):
                    continue
                total = mean * (1 - mean) / max(spread, 1e-3) ** 2 - 1
                shares = rng.beta(mean * total, (1 - mean) * total, (rows, runs, 1))
                hits = (rng.random((rows, runs, images)) < shares).astype(float)
                _, low, high = intervals.share(hits, n_boot=500, seed=seed)
                drawn = intervals.resamples(
                    np.ones((runs, images), bool), n_boot=500, seed=seed
                ).reshape(500, -1)
                means = hits.reshape(rows, -1) @ drawn.T / (runs * images)
                ends = np.quantile(means, intervals.ENDS, axis=1)
                ours = ((low <= mean) & (mean <= high)).mean()
                alone = ((ends[0] <= mean) & (mean <= ends[1])).mean()
                typer.echo(
                    f"{runs:4d}  {mean:4.2f}  {spread:6.1f}  {ours:7.0%}  {alone:22.0%}  "
                    f"{np.mean(high - low):5.2f}"
                )


if __name__ == "__main__":
    typer.run(main)
