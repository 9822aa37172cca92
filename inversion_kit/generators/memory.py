"""Work in parts that fit: a batch that does not fit into memory is halved, results stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from inversion_kit.errors import NumericalError

_T = TypeVar("_T")


def is_full(error: Exception) -> bool:
    """Whether an error says that memory ran out, of a device or of the machine.

    Examples
    --------
    >>> is_full(torch.OutOfMemoryError()), is_full(RuntimeError("shapes do not match"))
    (True, False)
    """
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


class MicroBatch:
    """The largest number of images at once that has fitted so far, beginning with ``size``.

    Where memory ran out the model ``of`` keeps what fitted of its work ``doing``, in its attribute
    ``fitted``, and the next `MicroBatch` of both begins with that.

    Examples
    --------
    >>> MicroBatch(3).parts(8, lambda part: list(range(8))[part])
    [[0, 1, 2], [3, 4, 5], [6, 7]]
    """

    def __init__(self, size: int, *, of: Any = None, doing: str = "") -> None:
        self._of, self._doing = of, doing
        self.size = min(size, getattr(of, "fitted", {}).get(doing, size))

    def parts(self, n: int, work: Callable[[slice], _T]) -> list[_T]:
        """Do ``work`` on slices of ``n`` things, in order, and return what each gave.

        Where memory runs out the size is halved, for later calls too, and the slice is done again;
        where a single thing does not fit, and at any other error, the library's own is raised.
        """
        done: list[_T] = []
        at = 0
        while at < n:
            part = slice(at, min(at + self.size, n))
            try:
                done.append(work(part))
            except NumericalError:
                raise
            except RuntimeError as error:
                if not is_full(error) or part.stop - part.start == 1:
                    raise
            else:
                at = part.stop
                continue
            self.size = (part.stop - part.start) // 2  # the error, which holds tensors, is gone
            if self._of is not None:
                self._of.fitted = getattr(self._of, "fitted", {}) | {self._doing: self.size}
            clear_device_cache(garbage_collection=True)
        return done
