"""Reports, checks and measurements by hand: what nobody compiled, checked or ran."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ttscribe.audio import first_window
from ttscribe.check import CheckReport
from ttscribe.check.findings import ProgramCheck
from ttscribe.compiler.program import Fallback, HostOp, HostSegment, HostSpec, Reason, Value
from ttscribe.evaluation.accuracy import Accuracy
from ttscribe.evaluation.speech import Clip
from ttscribe.reports import measure as measuring
from ttscribe.reports.make import Taken
from ttscribe.reports.schema import FIGURES, FORMAT, Figure, ModelReport, Provenance, Status

_MEASURED = ("compile", "check", "wer_fp32", "first_run")
_EMULATED = ("token_agreement", "pcc_mean", "pcc_worst", "wer")
_PROJECTED = ("ttft_floor", "ttft", "tsu_ceiling", "tsu", "ts", "rtf_floor", "rtf")
_OPERATIONS = ("device_operations", "device_operations_window", "device_operations_token")
_COUNTS = ("torch_ops_before", "torch_ops_remaining", "moves", *_OPERATIONS)
GIB = 2**30
# A sort, which nothing lowers; the sentence has what a page must escape.
STAYS = HostSegment(
    (HostOp("aten.sort.default", (), (), Value("sorted", HostSpec((1,), "float32"))),),
    (),
    ("sorted",),
    (Fallback("sort", "aten.sort.default", Reason.NO_RULE, 'no rule for "this" <yet>'),),
)


def provenance(name):
    if name in _EMULATED:
        return Provenance.EMULATED
    if name in _MEASURED:
        return Provenance.MEASURED
    return Provenance.PROJECTED if name in _PROJECTED else Provenance.VALIDATED


def every_figure():
    """Each figure that there is, of a value that no other has."""
    return {
        name: Figure(
            100 + index if name in _COUNTS else 100.25 + index,
            FIGURES[name][0],
            provenance(name),
            f"made up for {name}",
        )
        for index, name in enumerate(FIGURES)
    }


def program_check(**changes):
    """What a mock board says of a program of 7 calls and 5 device operations."""
    given = {
        "program": "encode",
        "calls": 7,
        "device_operations": {"Matmul": 3, "LayerNorm": 2},
        "host_segments": 0,
        "dram_added": 3 * 2**20,
        "dram_held": GIB,
        "peak_l1": 65_536,
        "peak_l1_call": "ttnn.linear",
        "cached_programs": 1,
        "seconds": 0.5,
    }
    return ProgramCheck(**{**given, **changes})


def report(**changes):
    """A report that is done, with every figure."""
    given = {
        "format": FORMAT,
        "model": "some-model",
        "weights": "some-model, its own",
        "board": "n150",
        "precision": "bf16-hifi3",
        "batch": 1,
        "status": Status.DONE,
        "reasons": (),
        "versions": {"ttscribe": "1.2.3", "ttnn": "4.5.6"},
        "figures": every_figure(),
        "programs": (program_check(),),
        "fallbacks": (),
        "findings": (),
        "ledger_differences": (),
    }
    return ModelReport(**{**given, **changes})


def accuracy(**changes):
    """What just meets the contract of bf16, emulated."""
    given = {
        "agreed": 98,
        "tokens": 100,
        "margin": 0.5,
        "mean_pcc": 0.999,
        "worst_pcc": 0.99,
        "words": 500,
        "wer": 5.2,
        "fp32_wer": 5,
    }
    return Accuracy(**{"model": "some-model", "policy": "bf16-hifi3", "clips": 3, **given, **changes})


def taken(compiled, findings=(), peak=65_536, **more):
    """What was taken of compiled programs with their own weights, by a check that nobody ran."""
    programs = tuple(
        program_check(
            program=each.program.name,
            calls=len(each.program.ops),
            device_operations={"Something": len(each.program.ops)},
            host_segments=len(each.program.host_segments),
            peak_l1=peak,
            peak_l1_call=None if peak is None else "ttnn.linear",
        )
        for each in compiled
    )
    checked = CheckReport("n150", "0.0.0", "bf16-hifi3", 12 * GIB, 2**20, programs, tuple(findings))
    return Taken(tuple(compiled), 1.5, checked, "its own", **more)


SECONDS = {"load": 1000.0, "log_mel": 1.0, "encode": 10.0, "start": 20.0, "prefill": 40.0, "token": 100.0}


class StandIn:
    """A runner, its checkpoint and a clock: each call takes as many seconds as it says, seven times as many when cold.

    ``calls`` are what was called, in order. ``fails`` is the name of a call that raises. Recordings last ``seconds``.
    """

    END, PROMPT = 5, (1, 2)
    log_power = None

    def __init__(self, monkeypatch, *, tokens=3, seconds=10, fails=None):
        self.now, self.calls, self.tokens, self.fails = 0.0, [], tokens, fails
        self.config = SimpleNamespace(vocab_size=8, num_mel_bins=80, max_target_positions=16)
        self.checkpoint = SimpleNamespace(
            tokenizer=SimpleNamespace(
                eot=self.END, no_timestamps=6, timestamp_begin=7, prompt=lambda *_, **__: self.PROMPT
            ),
            languages=("en",),
            suppress_tokens=(0,),
            begin_suppress_tokens=(self.END,),
            max_initial_timestamp_index=0,
        )
        self.clip = Clip(Path("nothing.wav"), "nothing", seconds)
        samples = np.zeros(16_000 * seconds, np.float32)
        monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(measuring, "load_audio", lambda _: self.takes("load", samples))
        monkeypatch.setattr(measuring, "first_window", lambda *given: self.takes("log_mel", first_window(*given)))

    def takes(self, name, result=None, times=1):
        if name == self.fails:
            raise RuntimeError(f"{name} went wrong")
        cold = self.calls.count("log_mel") < 1 + (name != "log_mel")
        self.calls.append(name)
        self.now += SECONDS[name] * times * (7 if cold else 1)
        return result

    def encode(self, mel):
        return self.takes("encode")

    def start(self, _):
        return self.takes("start")

    def prefill(self, tokens, _):
        """Logits in which the likeliest are suppressed tokens and text, which may not be first, then 7, a time."""
        return self.takes("prefill", np.array([[[9.0, 0, 0, 5, 0, 8, 0, 1]]], np.float32))

    def greedy(self, picked, position, _, rules, *, limit, end):
        (row,) = picked
        self.decoded = (row.tokens[-1], position, limit, end)
        count = min(limit - 1, self.tokens)
        for token in [6] * (count - 1) + [end] * min(count, 1):
            row.take(token, 0.0)
        self.takes("token", times=count)

    def measure(self, recordings=1):
        return measuring.measure(self, self.checkpoint, [self.clip] * recordings)


def same_but_for_time(first, second):
    """Names of what differs between two reports, versions and the seconds of a machine's CPU left out.

    Where only one of them ran the model, as on a card, what only that can tell is left out too.
    """
    one_ran = (first.ledger_differences is None) != (second.ledger_differences is None)
    left_out = {"figures", "versions", *(_OF_A_RUN if one_ran else ())}
    compared = [name for name in ModelReport.__struct_fields__ if name not in left_out]
    found = [name for name in compared if _untimed(getattr(first, name)) != _untimed(getattr(second, name))]
    for name in sorted({*first.figures, *second.figures}):
        mine, other = first.figures.get(name), second.figures.get(name)
        provenance = {figure.provenance for figure in (mine, other) if figure is not None}
        of_a_run = one_ran and (None in (mine, other) or Provenance.MEASURED in provenance)
        timed = name in ("compile", "check") and None not in (mine, other)
        if mine != other and not timed and not of_a_run:
            found.append(name)
    return found


_OF_A_RUN = ("weights", "status", "reasons", "ledger_differences")


def _untimed(field):
    """A report's field without the seconds that its checks took."""
    checks = isinstance(field, tuple) and field and isinstance(field[0], ProgramCheck)
    return tuple(replace(each, seconds=0.0) for each in field) if checks else field
