"""Makes every generated page again: docs/models/*, and the model table of README.md.

    bench/reports.py [--only NAME,NAME]

Needs no card: figures are validated on a mock board, emulated, or projected. A card's owner runs what a model's page
says under "On a card" instead, which fills that model's row.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as hf
from torch import nn

from ttscribe.compiler.compilation import Settings
from ttscribe.compiler.passes import DEFAULT_POLICY, policy
from ttscribe.reports.model_table import write_table
from ttscribe.reports.run import Made, Request, make, make_module, write
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "docs" / "models"
BOARD = "n150"
# Every size once: the same shapes under other names would give the same rows.
WHISPER = (
    *("distil-large-v3", "tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
    *("large-v2", "large-v3", "large-v3-turbo", "distil-small.en", "distil-medium.en", "distil-large-v2"),
)
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


def made(name: str) -> Made:
    settings = Settings(policy(DEFAULT_POLICY))
    if name in SIZES:
        return make(Request(name, shape_only_model(SIZES[name]), settings, BOARD))
    torch.manual_seed(0)
    model = OTHERS[name]().eval()
    return make_module(name, model, lambda compiled: compiled.generate(PROMPT, max_new_tokens=4), settings, BOARD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join((*WHISPER, *OTHERS)), help="names of models, with commas")
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        found = made(name)
        for path in write(found, MODELS / name):
            if path.suffix == ".html" and name != "distil-large-v3":
                path.unlink()  # half a megabyte each: the bring-up's own page is kept
        print(found.report.status.value, name, "; ".join(found.report.reasons), flush=True)
        write_table(ROOT / "README.md", MODELS)


if __name__ == "__main__":
    main()
