"""How many threads there are: PyTorch's number, also before it is imported."""

import os
import subprocess
import sys

import pytest

from ttscribe import processor, threads
from ttscribe.errors import OptionError

BESIDE_PYTORCH = """
from ttscribe import threads
{first}
ours = threads.count()
import torch
print(ours, torch.get_num_threads(), threads.count())
"""


def beside_pytorch(first="", **environment):
    """What a fresh process counts before PyTorch is imported, PyTorch's number, and what it counts then."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", BESIDE_PYTORCH.format(first=first)],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in result.stdout.split()]


@pytest.mark.parametrize("given", [{}, *({"OMP_NUM_THREADS": text} for text in ("1", "1,2", "64", "all", "0", ""))])
def test_the_number_is_pytorchs_own(given):
    ours, theirs, after = beside_pytorch(**given)
    assert ours == theirs == after


def test_a_limit_holds_for_pytorch_that_is_imported_later():
    assert beside_pytorch("threads.limit(1)") == [1, 1, 1]


def test_a_limit_holds_for_pytorch_that_is_here():
    assert beside_pytorch("import torch; threads.limit(5)", OMP_NUM_THREADS="1") == [5, 5, 5]


def test_cores_of_other_programs_are_not_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1})
    assert processor.cores() == 1


@pytest.mark.parametrize(("siblings", "expected"), [(("0,2", "1,3", "0,2", "1,3"), 2), (("0-1", "0-1", "2", "3"), 3)])
def test_a_core_that_appears_as_two_cpus_counts_once(monkeypatch, tmp_path, siblings, expected):
    for cpu, text in enumerate(siblings):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{text}\n")
    monkeypatch.setattr(processor, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert processor.cores() == expected


def test_where_nothing_is_said_of_cores_each_cpu_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 8})
    assert processor.cores() == 3


def test_a_limit_of_no_threads_is_refused():
    before = threads.count()
    with pytest.raises(OptionError, match="threads must be at least 1, not 0"):
        threads.limit(0)
    assert threads.count() == before
