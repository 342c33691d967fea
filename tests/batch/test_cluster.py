"""A batch on a Ray cluster, of which all is on this machine."""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from batch.conftest import PIECES, batch, index
from cli.conftest import COMMAND
from ttscribe.batch.cluster import cluster as crew
from ttscribe.batch.doing import Plan

pytest.importorskip("ray", reason="the extra batch is not installed: make env")
Cluster = pytest.importorskip("ray.cluster_utils").Cluster
pytestmark = pytest.mark.xdist_group("batch")


def actors(pid):
    """Processes below this one of actors that do a recording."""
    with suppress(psutil.Error):
        return [each.pid for each in psutil.Process(pid).children(recursive=True) if _is_actor(each)]
    return []


def _is_actor(process):
    with suppress(psutil.Error):
        return process.cmdline()[:1] == ["ray::Transcribing.do"]
    return False


def test_a_cluster_of_this_machine_is_there_as_long_as_the_batch(folder, texts, tmp_path):
    source = str(folder / "1.wav")
    done = batch(source, "--output", tmp_path, "--ray", "local", "--threads", "1")
    assert done.returncode == 0, done.stderr
    (entry,) = index(tmp_path)
    assert entry.text == " ".join(Path(entry.output).read_text(encoding="utf-8").split()) == texts[source]
    assert not [each for each in psutil.process_iter() if _is_actor(each)]


@pytest.fixture
def cluster():
    """One that has no cores yet."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


def test_actors_that_are_killed_alone_and_with_their_node_are_replaced_where_there_is_room(
    cluster, folder, texts, tmp_path
):
    """Nodes are what machines are to Ray. Two of them join when actors wait for cores, and one is lost."""
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en", "--offline"]
    arguments = ["--precision", "float32", "--ray", cluster.address, "--workers", "2", "--threads", "1"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as process:
        # Where it hangs it fails.
        limit = threading.Timer(300, process.kill)
        limit.start()
        lost, _ = nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        while not all(found := [actors(pid) for pid in raylets]):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(found[1][0], signal.SIGKILL)
        cluster.remove_node(lost, allow_graceful=False)
        seen = set(found[1])
        while process.poll() is None:
            seen.update(actors(raylets[1]))
            time.sleep(0.1)
        limit.cancel()
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert f"{PIECES} done, 0 failed" in said
    entries = index(tmp_path)
    assert len(entries) == PIECES
    assert {entry.source: entry.text for entry in entries} == texts
    # Two are begun again; and a third, where the first actor's replacement was put on the node that is lost.
    assert sum(entry.attempts - 1 for entry in entries) in {2, 3}
    assert len(seen) > 1


def test_a_cluster_whose_machines_have_too_few_cores_is_waited_for_with_a_word(cluster, caplog):
    plan = Plan({"threads": 2, "device": "cpu"}, {}, "txt")
    with crew(cluster.address, plan, 1):
        cluster.add_node(num_cpus=2)
    with crew(cluster.address, plan, 1):
        pass
    (warning,) = (record.getMessage() for record in caplog.records if record.name == "ttscribe.batch")
    assert warning == f"--ray {cluster.address}: no machine there has 2 cores; waiting for one"


def test_a_cluster_that_is_not_there_is_one_clear_line(folder, tmp_path):
    environment = {**os.environ, "RAY_raylet_start_wait_time_s": "1", "RAY_gcs_rpc_server_connect_timeout_s": "1"}
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en", "--offline"]
    done = subprocess.run(
        [*command, "--ray", "auto"], capture_output=True, text=True, check=False, env=environment, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ttscribe: error: --ray auto: no Ray cluster that can be used is there (")
    assert done.stderr.count("\n") == 1
