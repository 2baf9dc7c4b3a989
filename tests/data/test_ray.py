"""The same build over a Ray cluster of two nodes: same bytes, same answers to killed workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seem_data
from seem_data.engines.choose import open_engine
from seem_data.engines.spread import Casualty
from seem_data.problems import DataError, Problem
from tests.data.scenes import tree, write_colors, write_scenes

ray = pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'seem-tools[ray]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes of one CPU each, on this machine."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # so that nodes find the functions below
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()


def node(chunk: list[int]) -> list[str]:
    time.sleep(0.2 + 0 * len(chunk))
    return [ray.get_runtime_context().get_node_id()]


def die_of_seven(chunk: list[int]) -> list[int]:
    if 7 in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in chunk]


def refuse(chunk: list[int]) -> Any:
    raise DataError(Problem("bad", f"did not like {chunk}."))


def test_the_dataset_is_the_same_to_the_byte(address: str, tmp_path: Path) -> None:
    colors, polys = write_colors(tmp_path), write_scenes(tmp_path / "ann", 120)
    seem_data.build(colors, polys, tmp_path / "here", workers=1)
    report = seem_data.build(colors, polys, tmp_path / "cluster", engine="ray", ray_address=address)
    assert report.built == 120
    assert tree(tmp_path / "cluster") == tree(tmp_path / "here")
    again = seem_data.build(colors, polys, tmp_path / "cluster", engine="ray", ray_address=address)
    assert (again.built, again.kept) == (0, 120)


def test_both_nodes_work(address: str) -> None:
    with open_engine("ray", ray_address=address) as engine:
        nodes = {name for result in engine.map(node, [[index] for index in range(12)]) for name in result}
    assert len(nodes) == 2


def test_a_job_that_kills_its_worker_is_told_and_the_others_come_back(address: str) -> None:
    with open_engine("ray", ray_address=address) as engine:
        chunks = [list(range(start, start + 3)) for start in range(0, 15, 3)]
        results = list(engine.map(die_of_seven, chunks))
    assert [result.job for result in results if isinstance(result, Casualty)] == [7]
    alive = sorted(n for result in results if not isinstance(result, Casualty) for n in result)
    assert alive == [2 * number for number in range(15) if number != 7]


def test_exceptions_of_the_work_come_out_as_they_are(address: str) -> None:
    with pytest.raises(DataError, match="did not like"), open_engine("ray", ray_address=address) as engine:
        list(engine.map(refuse, [[1]]))


class _OnlyHere:
    """Cannot be unpickled elsewhere, as nothing of seem_data can where it is not installed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (__import__, ("not_on_the_cluster",))

    def __call__(self, chunk: list[int]) -> list[int]:
        return chunk


def test_nodes_that_lack_the_program_end_in_a_sentence(address: str) -> None:
    with pytest.raises(DataError, match="of every node"), open_engine("ray", ray_address=address) as engine:
        list(engine.map(_OnlyHere(), [[1]]))


def test_a_cluster_that_does_not_answer_ends_in_a_sentence() -> None:
    with pytest.raises(DataError, match="ray start --head"):
        open_engine("ray", ray_address="127.0.0.1:1")
