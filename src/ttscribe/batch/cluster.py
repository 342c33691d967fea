"""Workers on the machines of a Ray cluster: an actor each, which holds a model and does one recording at a time.

Recordings are read where the actor is, so that files must be there under the same path; transcripts are written here.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ttscribe.batch.doing import Done, Item, Plan, Transcribing
from ttscribe.errors import DeviceUnavailable, OptionError, TtscribeError, reason, with_extra

logger = logging.getLogger("ttscribe.batch")

LOCAL = "local"
"""The address that asks for a cluster of this machine, started for the batch and ended with it."""


@contextmanager
def cluster(address: str, plan: Plan, workers: int) -> Iterator[Actors]:
    """A crew on the cluster at ``address``, of whose machines each worker takes as many cores as the plan has threads.

    Raises OptionError where Ray is not installed or the cluster is not there.
    """
    try:
        import ray
    except ImportError:
        raise OptionError(f"--ray needs Ray: {with_extra('batch')}") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    threads = plan.load["threads"]
    how: dict[str, Any] = {"address": address}
    if address == LOCAL:
        how |= {"num_cpus": workers * threads, "include_dashboard": False}
    # Ray has SIGTERM for itself from here on, and would end the process without a word.
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**how, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        raise OptionError(f"--ray {address}: no Ray cluster that can be used is there ({reason(error)})") from error
    finally:
        signal.signal(signal.SIGTERM, before)
    try:
        # Not an error: of some clusters machines join when they are waited for.
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        if not any(node["Alive"] and node["Resources"].get("CPU", 0) >= threads for node in nodes):
            logger.warning("--ray %s: no machine there has %d cores; waiting for one", address, threads)
        yield Actors(plan, threads)
    finally:
        ray.shutdown()


class Actors:
    """A crew of actors."""

    def __init__(self, plan: Plan, threads: int) -> None:
        import ray

        self.plan = plan
        gpus = 1 if plan.load["device"] == "cuda" else 0
        self._actor = ray.remote(num_cpus=threads, num_gpus=gpus)(Transcribing)

    def hire(self) -> Actor:
        return Actor(self._actor.remote(self.plan))

    def ready(self, busy: Sequence[Actor]) -> list[Actor]:
        import ray

        found, _ = ray.wait([worker.future for worker in busy])
        return [worker for worker in busy if worker.future in found]


class Actor:
    """A worker on some machine of the cluster."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.item: Item | None = None
        self.future: Any = None
        self.death = ""

    def take(self, item: Item) -> None:
        self.item = item
        self.future = self._actor.do.remote(item)

    def result(self) -> Done | TtscribeError | None:
        import ray

        self.item = None
        try:
            said: Done | TtscribeError = ray.get(self.future)
        except ray.exceptions.RayActorError as error:
            self.death = reason(error)
            return None
        except ray.exceptions.RayError as error:
            return DeviceUnavailable(f"the Ray cluster failed ({reason(error)})")
        return said

    def end(self) -> None:
        import ray

        ray.kill(self._actor)
