"""A batch on a Ray cluster, which is started on this machine for it."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from batch.conftest import PIECES, index
from cli.conftest import COMMAND

pytest.importorskip("ray", reason="the extra batch is not installed: make env")
pytestmark = pytest.mark.xdist_group("batch")


def actors(process):
    """Processes of actors that hold a model."""
    with suppress(psutil.Error):
        return [each for each in psutil.Process(process.pid).children(recursive=True) if _is_actor(each)]
    return []


def _is_actor(process):
    with suppress(psutil.Error):
        return process.cmdline()[:1] == ["ray::Transcribing.do"]
    return False


def test_actors_write_what_processes_do_and_one_that_is_killed_is_replaced(folder, texts, tmp_path):
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en", "--offline"]
    arguments = ["--precision", "float32", "--ray", "local", "--workers", "2", "--threads", "1"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as process:
        while not (found := actors(process)):
            assert process.poll() is None
            time.sleep(0.02)
        found[0].send_signal(signal.SIGKILL)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert f"{PIECES} done, 0 failed" in said
    entries = index(tmp_path)
    assert {entry.source: entry.text for entry in entries} == texts
    assert max(entry.attempts for entry in entries) == 2
    for entry in entries:
        assert " ".join(Path(entry.output).read_text(encoding="utf-8").split()) == entry.text
    assert not [each for each in psutil.process_iter() if _is_actor(each)]


def test_a_cluster_that_is_not_there_is_one_clear_line(folder, tmp_path):
    environment = {**os.environ, "RAY_raylet_start_wait_time_s": "1", "RAY_gcs_rpc_server_connect_timeout_s": "1"}
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en", "--offline"]
    done = subprocess.run(
        [*command, "--ray", "auto"], capture_output=True, text=True, check=False, env=environment, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ttscribe: error: --ray auto: no Ray cluster that can be used is there (")
    assert done.stderr.count("\n") == 1
