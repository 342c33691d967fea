"""Reports, checks and measurements by hand: what nobody compiled, checked or ran."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from ttscribe.audio import log_mel
from ttscribe.check import CheckReport
from ttscribe.check.findings import ProgramCheck
from ttscribe.compiler.program import Fallback, HostOp, HostSegment, HostSpec, Reason, Value
from ttscribe.reports import measure as measuring
from ttscribe.reports.accuracy import Accuracy
from ttscribe.reports.model import FIGURES, Figure, ModelReport, ProgramSummary, Status, Word
from ttscribe.reports.speech import Clip

_MEASURED = ("compile", "check", "wer_fp32", "first_run", "rtf")
_EMULATED = ("token_agreement", "pcc_mean", "pcc_worst", "wer")
_PROJECTED = ("ttft_floor", "ttft", "tsu_ceiling", "tsu", "ts")
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


def word(name):
    if name in _EMULATED:
        return Word.EMULATED
    if name in _MEASURED:
        return Word.MEASURED
    return Word.PROJECTED if name in _PROJECTED else Word.VALIDATED


def every_figure():
    """Each figure that there is, of a value that no other has."""
    return {
        name: Figure(100 + index if name in _COUNTS else 100.25 + index, "", word(name), f"made up for {name}")
        for index, name in enumerate(FIGURES)
    }


def report(**changes):
    """A report that is done, with every figure."""
    given = {
        "model": "some-model",
        "weights": "some-model, its own",
        "board": "n150",
        "precision": "bf16-hifi4",
        "batch": 1,
        "status": Status.DONE,
        "reasons": (),
        "versions": {"ttscribe": "1.2.3", "ttnn": "4.5.6"},
        "figures": every_figure(),
        "programs": (ProgramSummary("encode", 7, 5, 0, 3 * 2**20, 65_536, "ttnn.linear"),),
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
        "texts": 4,
        "all_wer": 7,
        "all_fp32_wer": 6,
    }
    return Accuracy(**{"model": "some-model", "policy": "bf16-hifi4", "clips": 3, **given, **changes})


def checked(compilation, findings=(), peak=65_536):
    """A check of a compilation's programs that nobody ran."""
    programs = tuple(
        ProgramCheck(
            program.name,
            len(program.ops),
            {"Something": len(program.ops)},
            len(program.host_segments),
            2**20,
            GIB,
            peak,
            None if peak is None else "ttnn.linear",
            1,
            0.5,
        )
        for program in compilation.programs.values()
    )
    return CheckReport("n150", "0.0.0", "bf16-hifi4", 12 * GIB, 2**20, programs, tuple(findings))


SECONDS = {"load": 1000.0, "log_mel": 1.0, "encode": 10.0, "start": 20.0, "prefill": 40.0, "token": 100.0}


class StandIn:
    """A runner, its checkpoint and a clock: each call takes as many seconds as it says, seven times as many when cold.

    ``calls`` are what was called, in order. ``fails`` is the name of a call that raises. Recordings last ``seconds``.
    """

    END, PROMPT = 5, (1, 2)

    def __init__(self, monkeypatch, *, tokens=3, seconds=10, fails=None):
        self.now, self.calls, self.tokens, self.fails = 0.0, [], tokens, fails
        self.config = SimpleNamespace(vocab_size=8, num_mel_bins=80, max_target_positions=16)
        self.checkpoint = SimpleNamespace(
            tokenizer=SimpleNamespace(eot=self.END, prompt=lambda *_, **__: self.PROMPT),
            languages=("en",),
            suppress_tokens=(0,),
            begin_suppress_tokens=(self.END,),
        )
        self.clip = Clip(Path("nothing.wav"), "nothing", seconds)
        samples = np.zeros(16_000 * seconds, np.float32)
        monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(measuring, "load_audio", lambda _: self.takes("load", samples))
        monkeypatch.setattr(measuring, "log_mel", lambda *given: self.takes("log_mel", log_mel(*given)))

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
        """Logits in which the suppressed tokens are the likeliest, then 3."""
        return self.takes("prefill", torch.tensor([9.0, 0, 0, 5, 0, 8, 0, 0]).expand(1, tokens.shape[1], 8))

    def generate(self, token, position, _, *, limit, end):
        self.generated = (token, position, limit, end)
        count = min(limit, self.tokens)
        return self.takes("token", [6] * (count - 1) + [end] if count else [], count)

    def measure(self, recordings=1):
        return measuring.measure(self, self.checkpoint, [self.clip] * recordings)
