"""A Ray cluster of two nodes on this machine: the same files as one machine's, also where a node is killed."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.engines.runners import PathCheckingOpener
from cosface_cli.errors import CosfaceError
from tests.conftest import Cosface

pytestmark = pytest.mark.slow

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the package ray")
quick_to_see_death = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
quick_to_see_death |= {"health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}


class TwoNodes:
    """A head, where the command runs, and a node that can be killed and is then replaced."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": quick_to_see_death}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self.cluster.address
        self.node: Any = None
        self.complete()

    def complete(self) -> None:
        if self.node is None:
            self.node = self.cluster.add_node(num_cpus=1)

    def kill_node_at_work(self, running: subprocess.Popen[bytes]) -> bool:
        """kill -9 of the second node and of its workers, one of which is in the midst of a task; whether there was one
        before the run ended."""
        (raylet,) = (p.process.pid for p in self.node.all_processes["raylet"])
        busy = False
        deadline = time.monotonic() + 60
        while not busy:
            assert time.monotonic() < deadline, "the node never had work"
            if running.poll() is not None:
                return False
            workers = children(raylet)
            for process in workers:
                os.kill(process, signal.SIGSTOP)
            busy = any(title(process).startswith("ray::_work") for process in workers)
            for process in workers:
                os.kill(process, signal.SIGKILL if busy else signal.SIGCONT)
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = None
        return True


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        if int(fields[1]) == parent and title(int(stat.parent.name)).startswith("ray::"):
            found.append(int(stat.parent.name))
    return found


def title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def two_nodes(model_cache: Path) -> Iterator[TwoNodes]:
    here = Path(__file__)
    path = (here.parents[2], here.parent, os.environ.get("PYTHONPATH", ""))  # as if it were installed on every node
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, path)))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = TwoNodes()
        yield nodes
        nodes.cluster.shutdown()


@pytest.fixture
def cluster(two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> TwoNodes:
    two_nodes.complete()
    monkeypatch.setenv("RAY_ADDRESS", two_nodes.address)
    return two_nodes


@pytest.fixture(scope="module")
def crowd(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cwd/raw: 120 photos, some of which are rejected."""
    cwd = tmp_path_factory.mktemp("crowd")
    for number in range(5):
        shutil.copytree(people, cwd / "raw" / f"copy{number}")
    (cwd / "raw" / "copy3" / "torn.jpg").write_bytes((people / "group" / "t1.jpg").read_bytes()[:20000])
    return cwd


@dataclass(frozen=True)
class Made:
    """What a command made: its files, its rows, its words without those that tell the time and without Ray's own."""

    files: dict[str, bytes]
    rows: str
    words: list[str]


def made(out: Path, stdout: bytes, stderr: bytes) -> Made:
    words = [
        line
        for line in stderr.decode().splitlines()
        if not re.search(r" left, | done, |^\[[-0-9 :,]+ [EF] \d+ \d+\] ", line)
    ]
    rows = stdout.decode().replace(out.name + "/", "")
    return Made(files(out), rows, words)


@pytest.fixture(scope="module")
def alone(crowd: Path) -> dict[str, Made]:
    """What one machine makes of them: a crop folder, a store."""
    found = {}
    for command, out in (("align", "alone"), ("embed", "alone.h5")):
        words = [sys.executable, "-m", "cosface_cli", command, "raw", out]
        done = subprocess.run(words, cwd=crowd, capture_output=True)
        assert done.returncode == 3, done
        found[command] = made(crowd / out, done.stdout, done.stderr)
    return found


def files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@needs_ray
@pytest.mark.parametrize(("command", "out"), (("align", "crops"), ("embed", "faces.h5")))
def test_a_killed_node_changes_nothing(command: str, out: str, cluster: TwoNodes, crowd: Path, alone: dict[str, Made]):
    words = [sys.executable, "-m", "cosface_cli", command, "raw", out, "--engine", "ray"]
    for _ in range(3):  # a node whose worker starts slowly may find all work done; the next time it is there
        with (
            (crowd / "rows").open("wb") as rows,
            (crowd / "words").open("wb") as told,
            subprocess.Popen(words, cwd=crowd, stdout=rows, stderr=told) as running,
        ):
            while not (crowd / "rows").stat().st_size:  # then the run is in its midst
                assert running.poll() is None, (crowd / "words").read_text()
                time.sleep(0.01)
            if killed := cluster.kill_node_at_work(running):
                assert running.poll() is None
                code = running.wait(timeout=120)
                break
        for path in crowd.glob(f"{out}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert killed, "the node never had work"
    assert code == 3, (crowd / "words").read_text()
    there = made(crowd / out, (crowd / "rows").read_bytes(), (crowd / "words").read_bytes())
    assert there.rows.count("\n") == sum(path.is_file() for path in (crowd / "raw").rglob("*"))
    assert there.rows == alone[command].rows and there.words == alone[command].words
    assert there.files == alone[command].files


@needs_ray
def test_a_ray_of_our_own(cosface: Cosface, people: Path, tmp_path: Path):
    env = {"RAY_ADDRESS": ""}
    here = cosface("align", people, tmp_path / "a", "--workers", "1")
    there = cosface("align", people, tmp_path / "b", "--engine", "ray", "--workers", "2", env=env)
    assert here.code == there.code == 3 and files(tmp_path / "a") == files(tmp_path / "b")
    assert there.out == here.out.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    assert "ray" not in there.err.lower()


@dataclass(frozen=True)
class Work:
    """Squares; on the task 7 in the way that is asked for."""

    how: str = ""
    marks: Path = Path()

    def open(self) -> Callable[[int], Any]:
        return self._work

    def _work(self, number: int) -> Any:
        if number == 7 and self.how:
            (self.marks / str(time.time_ns())).touch()
            match self.how:
                case "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "killed once" if len(list(self.marks.iterdir())) == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                case "bug":
                    raise ZeroDivisionError("a bug")
                case "mendable":
                    raise CosfaceError("cannot be read", "a.jpg", "look at it")
        time.sleep(0.002 * (40 - number) / 40)  # later tasks are the quicker ones
        return number * number


@needs_ray
def test_order_few_in_flight_and_a_worker_that_dies_once(cluster: TwoNodes, tmp_path: Path):
    from cosface_cli.engines.runners.ray import run

    drawn = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for number in range(40):
            drawn += 1
            yield number

    found = []
    for pair in run(tasks(), Work("killed once", tmp_path)):
        found.append(pair)
        assert drawn <= len(found) + 8  # four for each of the two cores
    assert found == [(n, n * n) for n in range(40)]
    assert len(list(tmp_path.iterdir())) == 2
    drawn = 0
    for taken, _ in enumerate(run(tasks(), Work(), 3), 1):
        assert drawn <= taken + 3  # --workers
    assert list(run([], Work())) == []


@dataclass(frozen=True)
class OnGpu:
    """Gives the GPU that the worker was given, and its process."""

    gpu: bool = True

    def open(self) -> Callable[[int], tuple[str | None, int]]:
        return lambda number: (os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid())


@needs_ray
def test_gpus_are_given_out(cluster: TwoNodes, cosface: Cosface, people: Path, tmp_path: Path):
    """Ray counts GPUs that it is told of; there is none for torch to find."""
    from cosface_cli.engines.runners.ray import run

    embed = ("embed", people, tmp_path / "a.h5", "--engine", "ray", "--device")
    env = {"RAY_ADDRESS": cluster.address}
    with pytest.raises(CosfaceError, match=r"no node of the cluster has a GPU; .*, or --device cpu"):
        list(run(range(3), OnGpu()))
    node = cluster.cluster.add_node(num_cpus=1, num_gpus=1)
    try:
        found = {result for _, result in run(range(20), (OnGpu(),))}
        assert {gpu for gpu, _ in found} == {"0"} and len(found) == 1, "one worker, kept from task to task"
        done = cosface(*embed, "cuda", env={**env, "CUDA_VISIBLE_DEVICES": ""})
        assert done.code == 2 and "torch finds no device 'cuda' on this machine (on the node " in done.err
        assert len(done.err.splitlines()) == 1
    finally:
        cluster.cluster.remove_node(node)
    done = cosface(*embed, "cuda:0", env=env)
    assert done.code == 2 and "--device cuda:0 names devices of one machine" in done.err


@needs_ray
def test_a_task_that_kills_its_workers_is_named(cluster: TwoNodes, tmp_path: Path):
    from cosface_cli.engines.runners.ray import RETRIES, run

    taken = []
    with pytest.raises(CosfaceError, match=r"^7: its worker was killed 4 times.*; leave it out"):
        for task, _ in run(range(20), Work("killed", tmp_path)):
            taken.append(task)
    assert taken == list(range(7)) and len(list(tmp_path.iterdir())) == RETRIES + 1 == 4


@needs_ray
@pytest.mark.parametrize(
    ("how", "error", "words"),
    (("bug", ZeroDivisionError, "a bug"), ("mendable", CosfaceError, "a.jpg: cannot be read; look at it")),
)
def test_an_error_comes_out_as_what_it_is_and_at_once(
    how: str, error: type[Exception], words: str, cluster: TwoNodes, tmp_path: Path
):
    from cosface_cli.engines.runners.ray import run

    with pytest.raises(error) as caught:
        list(run(range(20), Work(how, tmp_path)))
    assert str(caught.value) == words and type(caught.value) is error and len(list(tmp_path.iterdir())) == 1


@needs_ray
def test_a_node_that_sees_other_files_says_so(cluster: TwoNodes, tmp_path: Path):
    from cosface_cli.engines.runners import ray as runner

    assert list(runner.run([2], PathCheckingOpener(Work(), (tmp_path,)))) == [(2, 4)]
    with pytest.raises(CosfaceError, match=r"gone: a worker cannot find this path \(on the node .+\); put it"):
        list(runner.run([2], PathCheckingOpener(Work(), (tmp_path, tmp_path / "gone"))))
    with pytest.raises(CosfaceError, match=r"/no/such: the node .* cannot find this folder"):
        runner._work(pickle.dumps((Work(), "/no/such")), 2)


@needs_ray
def test_a_node_without_the_code_says_so(cluster: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from cosface_cli.engines.runners.ray import run

    (tmp_path / "only_here.py").write_text("class Here:\n    def open(self):\n        return lambda task: task\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = import_module("only_here")
    monkeypatch.undo()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with pytest.raises(CosfaceError, match=r"^a node of the cluster lacks the module 'only_here'; install the same"):
        list(run([1], only_here.Here()))


@needs_ray
def test_the_first_and_last_of_a_shard_are_named():
    from cosface_cli.engines.runners.ray import named

    assert [named(task) for task in (3, [3], [3, 4, 5])] == ["3", "3", "3 to 5"]


@needs_ray
def test_no_ray_cluster_at_the_address(cosface: Cosface, people: Path, tmp_path: Path):
    env = {"RAY_ADDRESS": "127.0.0.1:9"}
    done = cosface("embed", people, tmp_path / "a.h5", "--engine", "ray", env=env)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "RAY_ADDRESS=127.0.0.1:9: " in done.err


@pytest.mark.parametrize("command", ("align", "embed"))
def test_without_the_package(command: str, cosface: Cosface, people: Path, tmp_path: Path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ray.py").write_text("raise ModuleNotFoundError('no', name='ray')")
    path = os.pathsep.join((str(hidden), os.environ.get("PYTHONPATH", "")))
    done = cosface(command, people, tmp_path / "out", "--engine", "ray", env={"PYTHONPATH": path})
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert done.err == "cosface: the engine 'ray' needs the package 'ray'; pip install 'cosface[cluster]'\n"
    near = cosface(command, people, tmp_path / "out", "--engine", "rai")
    assert near.code == 2 and near.err == "cosface: --engine 'rai' is not known; did you mean 'ray'?\n"
