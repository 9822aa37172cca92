"""Peak memory of a piece of work: of the process, or of the GPU where it runs on one."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """The most memory that was in use since it was made or restarted, in MB (1e6 bytes).

    Where the system does not forget an earlier peak of the process (Linux does), it is that of the
    process so far.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.restart()

    def restart(self) -> None:
        """Forget what was."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif _CLEAR.exists():
            _CLEAR.write_text("5")  # see proc_pid_clear_refs(5)

    def mb(self) -> float:
        """The peak until now."""
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 1e6, 1)
        known = re.search(r"VmHWM:\s+(\d+)", _STATUS.read_text()) if _STATUS.exists() else None
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if known is None else int(known[1])
        return round(kib * 1024 / 1e6, 1)
