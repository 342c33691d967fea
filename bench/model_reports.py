"""Makes every generated page again: docs/models, and the model table of README.md.

    bench/model_reports.py [--only NAME,NAME]

distil-large-v3 gets every page that there is, each other size of Whisper one, and what is no Whisper one together.
Needs no card: figures are validated on a mock board, emulated, or projected. A card's owner runs what a model's page
says under "On a card" instead, which fills that model's row.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
import transformers as hf
from torch import nn

from accuracy import recorded
from cost_model import page
from ttscribe.check import check_programs
from ttscribe.check.programs import capture_calls, checkable
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import WHISPER_POLICY, CompileSettings, policy
from ttscribe.files import make_folder, write_text
from ttscribe.reports.make import Request, Taken, collect, make
from ttscribe.reports.model_table import write_table
from ttscribe.reports.pages import pages, summary_page, table
from ttscribe.reports.schema import ModelReport, to_json
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "docs" / "models"
IN_FULL = page.MODEL
# Every size once: the same shapes under other names would give the same rows.
WHISPER = (
    *("distil-large-v3", "tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
    *("large-v2", "large-v3", "large-v3-turbo", "distil-small.en", "distil-medium.en", "distil-large-v2"),
)
OTHER_MODELS = "other_models.md"
_TOKENS = {"vocab_size": 128, "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "gpt-neo": lambda: hf.GPTNeoForCausalLM(
        hf.GPTNeoConfig(
            num_layers=2,
            num_heads=2,
            hidden_size=64,
            attention_types=[[["global", "local"], 1]],
            window_size=8,
            max_position_embeddings=64,
            **_TOKENS,
        )
    ),
    "opt": lambda: hf.OPTForCausalLM(
        hf.OPTConfig(
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_size=64,
            ffn_dim=128,
            word_embed_proj_dim=64,
            max_position_embeddings=64,
            **_TOKENS,
        )
    ),
    "codegen": lambda: hf.CodeGenForCausalLM(
        hf.CodeGenConfig(n_layer=2, n_head=4, n_embd=128, rotary_dim=32, n_positions=64, n_ctx=64, **_TOKENS)
    ),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=2, n_head=2, n_embd=64, n_positions=64, **_TOKENS)),
}
PROMPT = torch.tensor([[17, 5, 90, 33, 8, 101]])


SETTINGS = CompileSettings(policy(WHISPER_POLICY))
# Of modules.
OTHER_SETTINGS = CompileSettings()


def whisper_files(name: str) -> tuple[ModelReport, dict[str, str], dict[str, Program]]:
    """A size's report, the files of its folder, and its programs by name."""
    accuracy = recorded().get((name, SETTINGS.precision.name))
    report, compiled = make(Request(name, shape_only_model(SIZES[name]), SETTINGS, accuracy=accuracy))
    programs = {each.program.name: each.program for each in compiled}
    if name != IN_FULL:
        # The trace is in nobody's short page.
        report = msgspec.structs.replace(report, variations=())
        return report, {"report.json": to_json(report), "report.md": summary_page(report)}, programs
    on_a_p150 = replace(SETTINGS, board=BOARDS["p150"])
    others = {each.program.name: compile_graph(each.captured, on_a_p150).program for each in compiled}
    files = {**pages(report), **page.render(page.Subject({"n150": programs, "p150": others}))}
    return report, files, programs


def other_report(name: str) -> ModelReport:
    """What becomes of every graph that ``torch.compile`` makes of one of OTHERS; nothing is projected or run."""
    torch.manual_seed(0)
    model = OTHERS[name]().eval()
    started = time.perf_counter()
    graphs = capture_calls(model, lambda compiled: compiled.generate(PROMPT, max_new_tokens=4))
    compiled = tuple(compile_graph(graph, OTHER_SETTINGS) for graph in graphs)
    seconds = time.perf_counter() - started
    checked = check_programs([checkable(each) for each in compiled], OTHER_SETTINGS.board.name)
    return collect(name, OTHER_SETTINGS, Taken(compiled, seconds, checked, "two random layers"))


_OTHERS = """\
# Language models: two random layers each

Not models that anybody would use: GPT-2, GPT-Neo, OPT and CodeGen of Hugging Face's transformers with two layers of
random weights, compiled as `generate` runs them (a prompt of six tokens, then four new ones). They show what the
compiler makes of programs that are not Whisper, each figure *validated* on a mock board; nothing ran and nothing is
projected. Their caches grow with every token, and what has a growing shape stays in PyTorch."""


def others_page(reports: Sequence[ModelReport]) -> Iterator[str]:
    """The lines of ``other_models.md``."""
    yield _OTHERS
    yield from table(("model", "graphs", "ATen operations", "in PyTorch", "device operations"), map(_row, reports))
    for report in reports:
        yield from _section(report)


def _section(report: ModelReport) -> Iterator[str]:
    yield f"\n## {report.model}: what stays in PyTorch\n"
    lines = [line.partition(": ")[2] for line in report.fallbacks]
    yield from [f"- {line}" for line in dict.fromkeys(lines)] or ["Nothing."]
    if report.findings:
        yield "\nThe mock board refuses:\n"
        yield from [f"- {line}" for line in report.findings]


def _row(report: ModelReport) -> tuple[object, ...]:
    names = ("torch_ops_before", "torch_ops_remaining", "device_operations")
    return (report.model, len(report.programs), *(report.figures[name].value for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join((*WHISPER, "others")), help="names of models, with commas")
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        if name == "others":
            write_text(MODELS / OTHER_MODELS, "\n".join(others_page([*map(other_report, OTHERS)])) + "\n")
            continue
        report, files, _ = whisper_files(name)
        make_folder(MODELS / name)
        for file, text in files.items():
            write_text(MODELS / name / file, text)
        print(report.status.value, name, "; ".join(report.reasons), flush=True)
    write_table(ROOT / "README.md", MODELS)


if __name__ == "__main__":
    main()
