"""Cuts a recording down to what is committed here: small cases whole, others by rows, products by columns too.

    tests/simulated/cut.py FOLDER      # cases.jsonl and values.safetensors of real kernels, as they were recorded

A product's element depends on its row and column alone, as long as the rows stay within one tile; a row of a norm or of
an operation that goes element by element on that row alone.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
# Bytes of a case that is kept whole, and of all.
SMALL, ROOM = 13_000, 480_000
ROWS, COLUMNS = 8, 32
PRODUCTS = ("ttnn.linear", "ttnn.matmul")
BY_ROWS = {
    f"ttnn.{name}"
    for name in ("gelu", "exp", "softmax", "layer_norm", "rms_norm", "add", "subtract", "multiply", "sigmoid", "silu")
}
# Whole, whatever their size: attention by one chunk and by several, and a convolution.
KEPT = ("sdpa.q64.k64.c64.hifi4", "sdpa_decode.h2.cache128.pos100", "conv1d.c64.l64.stride1.gelu_0")


def cut(case: dict, values: dict, kept: dict) -> dict | None:
    """The case with its tensors in ``kept``, or None where it is too large."""
    tensors = {**case["inputs"], **{name: item for name, item in case["outputs"].items() if item.get("key")}}
    rows = case["inputs"]["x"]["shape"][-2] if case["target"] in PRODUCTS else 0
    trims = 0 < rows <= 32
    made = {}
    for name, item in tensors.items():
        data = values[item["key"]]
        if trims:
            data = data[..., :ROWS, :] if name == "x" else data[..., :COLUMNS] if name in ("w", "b") else data
            data = data[..., :ROWS, :COLUMNS] if name.startswith("out") else data
        if case["target"] in BY_ROWS and data.dim() > 1 and data.shape[-2] > ROWS:
            data = data[..., :ROWS, :]
        made[name] = data.clone(memory_format=torch.contiguous_format)
    most = 1 << 20 if case["name"] in KEPT else 40_000 if trims else SMALL
    if sum(data.nbytes for data in made.values()) > most:
        return None
    for name, item in tensors.items():
        item["key"] = f"{item['key']}.{'x'.join(map(str, made[name].shape))}"
        item["shape"] = list(made[name].shape)
        kept[item["key"]] = made[name]
    return case


def main() -> None:
    folder = Path(sys.argv[1])
    values, kept, lines = load_file(folder / "values.safetensors"), {}, []
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    cases.sort(key=lambda case: case["name"] not in KEPT)
    for case in cases:
        before = dict(kept)
        made = cut(case, values, kept) if case["status"] == "ok" else None
        if made is None or sum(data.nbytes for data in kept.values()) > ROOM:
            kept = before
            continue
        compared = ("key", "shape", "dtype", "layout")
        made["outputs"] = {
            name: {key: part for key, part in item.items() if key in compared} for name, item in made["outputs"].items()
        }
        lines.append(json.dumps(made))
    (HERE / "cases.jsonl").write_text("\n".join(lines) + "\n")
    save_file(kept, HERE / "values.safetensors")
    print(len(lines), "of", len(cases), "cases,", sum(data.nbytes for data in kept.values()), "bytes")


if __name__ == "__main__":
    main()
