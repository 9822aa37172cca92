"""The tables that verdicts, sentences and numbers of one arm rest on, each computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import xarray as xr

from inversion_kit.analysis.intervals import N_BOOT
from inversion_kit.analysis.meaning import semantic_index, view_index
from inversion_kit.analysis.mixups import read_as
from inversion_kit.analysis.rates import overall_success, paired_effects, success
from inversion_kit.analysis.reading import arm_place, reads
from inversion_kit.arms import baseline_arm, controls


class Evidence:
    """What is known of one arm of a result; every table is computed when it is first asked for.

    Parameters
    ----------
    tree
        A result, or its `reads`.
    arm
        The main arm where not given.
    n_boot, seed
        Resamples of the bootstraps, and their seed.

    Examples
    --------
    >>> from inversion_kit.testing import synthetic
    >>> known = Evidence(synthetic())
    >>> known.arm, known.baseline, sorted(known.gains)
    ('token', 'start', ['name', 'start'])
    """

    def __init__(
        self,
        tree: xr.DataTree | xr.Dataset,
        arm: str | None = None,
        *,
        n_boot: int = N_BOOT,
        seed: int = 0,
    ) -> None:
        self.read = reads(tree)
        self.at = arm_place(self.read, arm)
        self.arms = [str(a) for a in self.read["arm"].values]
        self.arm = self.arms[self.at]
        self.baseline = baseline_arm(self.arms, self.arm)
        self.n_boot, self.seed = n_boot, seed

    @cached_property
    def success(self) -> xr.Dataset:
        """`success` of all labels, arms and scorers."""
        return success(self.read, n_boot=self.n_boot, seed=self.seed)

    @cached_property
    def overall(self) -> xr.Dataset:
        """`overall_success`."""
        return overall_success(self.read, n_boot=self.n_boot, seed=self.seed)

    @cached_property
    def meant(self) -> xr.Dataset:
        """`semantic_index` of the arm."""
        return semantic_index(self.read, self.arm, n_boot=self.n_boot, seed=self.seed)

    @cached_property
    def seen(self) -> xr.Dataset:
        """`view_index` of the arm."""
        return view_index(self.read, self.arm, n_boot=self.n_boot, seed=self.seed)

    @cached_property
    def gains(self) -> dict[str, xr.Dataset]:
        """`paired_effects` of the arm over each of its controls, by the audited classifier."""
        return self._effects(self.read.isel(scorer=[0]))

    @cached_property
    def differences(self) -> dict[str, xr.Dataset]:
        """`gains` by every scorer."""
        return self._effects(self.read)

    @cached_property
    def read_as(self) -> xr.Dataset:
        """`read_as` of the arm: the classes that take most of its images."""
        return read_as(self.read, self.arm, n_boot=self.n_boot, seed=self.seed)

    @cached_property
    def own(self) -> dict[str, np.ndarray]:
        """Plain arrays ``(label, ...)`` of the arm and the audited classifier, and of units.

        Variables of `success` and ``top``, and ``status`` and ``reason`` of all arms: an item of a
        Dataset takes a thousand times as long as one of an array, and there are many.
        """
        if "success" in self.__dict__:
            table = self.success.isel(arm=self.at, scorer=0)
        else:
            alone = self.read.isel(arm=[self.at], scorer=[0])
            table = success(alone, n_boot=self.n_boot, seed=self.seed).isel(arm=0, scorer=0)
        top = self.read["top"].values[0][:, self.at]
        units = {n: self.read[n].values for n in ("status", "reason")}
        return {**{str(n): table[n].values for n in table}, **units, "top": top}

    def _effects(self, read: xr.Dataset) -> dict[str, xr.Dataset]:
        return {
            control: paired_effects(read, self.arm, control, n_boot=self.n_boot, seed=self.seed)
            for control in controls(self.arms, self.arm)
        }
