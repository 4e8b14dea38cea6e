# SPDX-License-Identifier: MIT
"""Whether one more run fits into memory."""

from gpu_check import query_card
from gpu_programs import CheckError
from sweep_definition import SweepError


def mebibytes(count):
    return f"{count / 2**20:.1f} MiB"


def available_bytes(meminfo="/proc/meminfo"):
    with open(meminfo, encoding="ascii") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise SweepError(f"{meminfo}: no MemAvailable, expected it to tell the free memory")


def card_bytes():
    """Free memory of the GPU that the runs use."""
    try:
        return int(float(query_card(("memory.free",))[0])) << 20
    except (CheckError, ValueError) as failure:
        raise SweepError(f"free memory of the GPU: {failure}") from failure


# A process beside what the search plans: measured on the CPU 85 MiB; on a GPU its context and libraries, by which
# the published measurements are above the tensors.
PROCESS_BYTES = {"cpu": 128 << 20, "cuda": 600 << 20}


class Memory:
    """Free memory of the device that the runs use. Runs allocate some time after their start, so that
    those which run count with what they will need."""

    def __init__(self, device, free_bytes=None):
        self.process_bytes = PROCESS_BYTES[device]
        self.free_bytes = free_bytes or (card_bytes if device == "cuda" else available_bytes)
        self.idle = self.free_bytes()  # when no run was there

    def need(self, run):
        return run.planned_bytes + self.process_bytes

    def room(self, running):
        """Bytes for another run beside those that run."""
        free = self.free_bytes()
        if not running:
            self.idle = free
        return min(free, self.idle - sum(map(self.need, running)))

    def refusal(self, run, free):
        """The line for a run that does not fit alone."""
        return (f"{run.name}: needs {mebibytes(self.need(run))} ({mebibytes(run.planned_bytes)} planned), expected "
                f"at most the {mebibytes(free)} that are free")
