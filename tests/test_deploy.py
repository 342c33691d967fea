"""Files that a server is deployed with, as far as they can be tried without containers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: make env")
prometheus_client = pytest.importorskip("prometheus_client", reason="the extra server is not installed: make env")

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def test_every_metric_of_the_dashboard_is_one_that_a_server_gives():
    from ttscribe.server.metrics import Metrics
    from ttscribe.server.work import Work

    work = Work(workers=1, waiting=1)
    metrics = Metrics("cpu", work)
    metrics.requests.labels("GET", "/", 200).inc()
    given = set(re.findall(r"^(ttscribe_\w+)", metrics.text().decode(), re.MULTILINE))
    work.finish()
    board = json.loads((DEPLOY / "grafana" / "ttscribe.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"ttscribe_\w+", query)}
    assert asked
    assert asked - given == set()


def test_what_compose_mounts_and_builds_is_there():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    assert [path for path in mounted if path.startswith("./") and not (DEPLOY / path).is_file()] == []
    build = services["ttscribe"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    # Nothing is open to others unless somebody opens it.
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == ["ttscribe:8000"]


def test_what_the_image_copies_is_there():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert names
    assert [name for name in names if not (DEPLOY.parent / name).exists()] == []


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # It looks for what is started, which is not installed here.
    unit = (DEPLOY / "ttscribe.service").read_text().replace("/opt/ttscribe/bin/ttscribe", "/bin/true")
    (tmp_path / "ttscribe.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "ttscribe.service")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
