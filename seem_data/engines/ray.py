"""The engine that spreads the work over a Ray cluster."""

from __future__ import annotations

import importlib
import importlib.util
import socket
from collections.abc import Callable, Iterable
from typing import Any

from seem_data.engines.settle import settle
from seem_data.engines.spread import CHUNKS_PER_WORKER, Job, Result, Spread, WorkerDied
from seem_data.problems import DataError, Problem, fault


class RayCluster(Spread[object]):
    """A Ray cluster whose machines see input and output under the same paths, with seem-tools installed.

    Args:
        address: of a running cluster (``"auto"``: the one this machine belongs to); None starts Ray here.
        workers: chunks worked on at a time; None: as many as the cluster has CPUs.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        if importlib.util.find_spec("ray") is None:
            message = "needs Ray, which is not installed."
            remedy = "Install it with: pip install 'seem-tools[ray]'"
            raise fault("not-installed", message, remedy, where="--engine ray")
        self._ray: Any = importlib.import_module("ray")
        self._started_here = not self._ray.is_initialized()
        if self._started_here:
            try:
                _knock(address)
                self._ray.init(address=address, num_cpus=None if address else workers, log_to_driver=False)
            except (OSError, ValueError) as error:
                message = f"no Ray cluster answers at {address!r} ({error})."
                remedy = "Start one with 'ray start --head', or leave --ray-address out to use this machine."
                raise fault("no-cluster", message, remedy, where="--ray-address") from error
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self.limit = self.workers * CHUNKS_PER_WORKER
        self._remote = self._ray.remote(max_retries=0, scheduling_strategy="SPREAD")(_call)
        self._shipped: tuple[object, object] | None = None  # work, and Ray's reference to it

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._started_here:
            self._ray.shutdown()

    def _start(self, work: Callable[[list[Job]], Result], chunk: list[Job]) -> object:
        if self._shipped is None or self._shipped[0] is not work:
            self._shipped = (work, self._ray.put(work))  # once for all chunks
        return self._remote.remote(self._shipped[1], chunk)

    def _first(self, handles: Iterable[object]) -> object:
        return self._ray.wait(list(handles), num_returns=1)[0][0]

    def _result(self, handle: object) -> object:
        errors = self._ray.exceptions
        try:
            return self._ray.get(handle)
        except errors.RayTaskError as error:
            if isinstance(error.cause, errors.RaySystemError):
                message = f"a node of the cluster cannot do the work ({str(error.cause).splitlines()[0]})."
                remedy = "Install the same seem-tools in the Python of every node."
                problem = Problem("cluster", message, remedy, where="--engine ray")
                raise DataError(problem) from None
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
        ):
            raise WorkerDied from None


def _knock(address: str | None) -> None:
    """Try whether anybody listens at ``host:port``: Ray itself tries for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "//" not in host:
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _call(work: Callable[[list[Job]], Result], chunk: list[Job]) -> Result:
    settle()
    return work(chunk)
