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
    ``fitted``, and the next `MicroBatch` of both begins with that. Where a single image does not
    fit, ``spare`` is asked to make room and says whether it did, as
    `inversion_kit.generators.checkpointing.checkpoint_next` does for a gradient.

    Examples
    --------
    >>> MicroBatch(3).parts(8, lambda part: list(range(8))[part])
    [[0, 1, 2], [3, 4, 5], [6, 7]]
    """

    def __init__(
        self,
        size: int,
        *,
        of: Any = None,
        doing: str = "",
        spare: Callable[[], bool] = lambda: False,
    ) -> None:
        self._of, self._doing, self._spare = of, doing, spare
        self.size = min(size, getattr(of, "fitted", {}).get(doing, size))

    def parts(self, n: int, work: Callable[[slice], _T]) -> list[_T]:
        """Do ``work`` on slices of ``n`` things, in order, and return what each gave.

        Where memory runs out the size is halved, for later calls too, and the slice is done again;
        where a single thing does not fit and no room can be made, and at any other error, the
        library's own is raised.
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
                alone = part.stop - part.start == 1
                if not is_full(error) or (alone and not self._spare()):
                    raise
            else:
                at = part.stop
                continue
            # the error, which holds tensors, is gone
            self.size = max(1, (part.stop - part.start) // 2)
            if self._of is not None:
                self._of.fitted = getattr(self._of, "fitted", {}) | {self._doing: self.size}
            clear_device_cache(garbage_collection=True)
        return done
