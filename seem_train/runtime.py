"""Where and how a run computes: processes, device, precision, seeds, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from seem_data.common.terminal import tell
from seem_train.devices import Precision, check_device, check_precision
from seem_train.errors import UserError

Value = TypeVar("Value")

REQUEUE = 75  #: exit status "temporary failure": saved, start the same command again
ECHO_SECONDS = 1.0  #: signals closer together are one
GRACE_SECONDS = 30.0  #: how long the other processes may take to end after one of them failed


@dataclass
class Runtime:
    """This process among its like; a run of one process has rank 0 of 1 and no process group."""

    device: torch.device
    precision: Precision = "fp32"
    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sum over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world  # filled in place
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Value) -> Value:
        """The main process's `value`, everywhere."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()

    def synchronize(self) -> None:
        """Wait for the device, so that a clock read next is honest."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> int:
        """Largest memory so far in bytes: of tensors on a GPU, of the process on the CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return process_peak()


def process_peak() -> int:
    """Largest memory of this process so far in bytes."""
    status = Path("/proc/self/status")  # of Linux; what `resource` tells there, a process inherits
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    import resource  # Unix only; imported late

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def start(device: str = "auto", precision: str = "auto", deterministic: bool = False) -> Iterator[Runtime]:
    """Join the processes that torchrun or `launch` started, if any, and choose device and precision.

    Raises:
        UserError: CUDA asked for and not there, or a precision the device does not have.
    """
    rank, world = int(os.environ.get("RANK", 0)), world_size()
    chosen = pick_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    runtime = Runtime(chosen, pick_precision(precision, chosen), rank, world)
    grouped = world > 1 and not dist.is_initialized()
    if grouped:
        if chosen.type == "cuda":
            dist.init_process_group("nccl", device_id=chosen)
        else:
            dist.init_process_group("gloo")
    try:
        yield runtime
    finally:
        if deterministic:
            torch.use_deterministic_algorithms(False)
        if grouped:
            dist.destroy_process_group()


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Raises UserError: a kind of device that is not known here, or one that is not there."""
    check_device(name)
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu, or look at nvidia-smi")
    there = torch.cuda.device_count()
    if local_rank >= there:
        raise UserError(f"--devices {local_rank + 1}: this machine has {there} GPU(s)")
    return torch.device("cuda", local_rank)


def pick_precision(name: str, device: torch.device) -> Precision:
    """Raises UserError: a precision that is not known here, or that the device does not have."""
    check_precision(name)
    if name == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 is for GPUs; on the CPU use fp32 (or bf16)")
    return name  # type: ignore[return-value]


def allocator_error(error: Exception) -> str | None:
    """What an allocator said that had no memory left, the GPU's or the host's; None for any other error."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error):
        return (str(error) or "no memory left").splitlines()[0].rpartition("Allocator: ")[2][:160]
    return None


def stream_seed(*numbers: int) -> int:
    """One seed for a tuple of numbers (seed, step, rank …): draws of a step depend on nothing before it, so
    there is no random state to save, and a resumed run draws what an uninterrupted one would have drawn."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@dataclass
class Stop:
    """Whether someone asked the run to stop: SIGTERM and SIGUSR1 (a scheduler), SIGINT (the user).

    The first signal lets the running step end; a second one ends the process at once. The same signal often
    comes twice, to the whole group of processes and passed on by the launcher; that counts as one.
    """

    signal: int | None = None
    _at: float = 0.0
    _before: dict[int, Callable[[int, FrameType | None], object] | int | None] = field(default_factory=dict)

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not the main thread: someone else owns the signals
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        now = time.monotonic()
        if self.signal is not None and now - self._at > ECHO_SECONDS:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal, self._at = number, now

    @property
    def status(self) -> int:
        """The exit status to leave with: 75 for a scheduler, 130 for Ctrl-C."""
        return 130 if self.signal == signal.SIGINT else REQUEUE


def launch(command: Sequence[str], processes: int) -> int:
    """Run `command` once for each device of this machine, with the environment torchrun would give it.

    Written here because torchrun swallows exit statuses and answers a signal with a traceback; for several
    machines or elastic restarts use ``torchrun -m seem_train run …``, which works as it is.

    Signals are passed on. Where one process fails the others are ended, and its status is returned.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    children = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]

    def pass_on(number: int, _frame: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        return _wait(children)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        ended = [(rank, child.returncode) for rank, child in enumerate(children) if child.poll() is not None]
        failed = [(rank, status) for rank, status in ended if status != 0]
        if failed and not all(status in (REQUEUE, 130, 2) for _, status in failed):
            rank, status = failed[0]
            how = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
            tell(
                f"error: process {rank} of {len(children)} {how}; ending the others. "
                "The same command continues from the last save.",
                err=True,
            )
            _end(children)
            return status if status > 0 else 1
        if len(ended) == len(children):
            return max(status for _, status in ended)
        if any(status == 2 for _, status in failed):  # a user's error, told by the process itself
            _end(children)
            return 2
        time.sleep(0.1)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
        for child in children:
            if child.poll() is None:
                stop(child)
        deadline = time.monotonic() + (GRACE_SECONDS if stop is subprocess.Popen.terminate else 5.0)
        while time.monotonic() < deadline and any(child.poll() is None for child in children):
            time.sleep(0.1)


def world_size() -> int:
    """How many processes the launcher started; 1 where there was none."""
    return int(os.environ.get("WORLD_SIZE", 1))
