"""Every recorded call of a real kernel, and what the emulator gives for it: the bound is that of the operation.

Committed are the cases that are small, or were cut down (``cut.py``). TTSCRIBE_RECORDED names the folder of a whole
recording; one that lies beside the clone is taken unasked.
"""

import os
from pathlib import Path

import pytest

from simulated import page, recorded

HERE = Path(__file__).parent
BESIDE = HERE.parents[2] / "shared" / "simulated"
WHOLE = Path(os.environ.get("TTSCRIBE_RECORDED", BESIDE))

# Bit for bit: what moves values, and what the matrix engine adds and multiplies.
EXACT = (
    "linear.",
    "matmul.",
    "add.",
    "subtract.",
    "multiply.",
    "divide.",
    "sum.",
    "mean.",
    "create_qkv_heads",
    "concat",
)
ONE_UNIT = ("gelu", "conv1d", "exp", "softmax", "sigmoid", "silu", "rms_norm", "pow")
# Correlated, and why no more.
CORRELATED = {
    "sdpa": (0.9999, "several chunks are merged in another order than ours in the last bit"),
    "layer_norm": (0.9999, "mean and variance are taken in float32, not on the engine"),
    "real.": (0.9999, "as layer_norm; products with gelu or without are exact up to it"),
    "gelu.linear.program_config.gelu_tanh": (0.9999, "the vector unit's tanh is not known"),
    "gelu.conv1d.gelu_tanh": (0.9999, "the vector unit's tanh is not known"),
    "softmax.default": (0.9999, "its sums are kept in 16 bits, which none of our programs asks for"),
    "add.bf16_to_bfp8": (0.9999, "the result is rounded once more on the way to a block"),
    "add.bfp8": (0.9999, "operands are aligned in the block's form"),
    "typecast.bf16_to_bfp4": (0.999, "one element in a hundred is cut otherwise"),
}


def bound(name: str) -> tuple[float, str]:
    """The correlation that a case must reach and why it is no more; 1 where every bit must be the same."""
    known = [item for prefix, item in CORRELATED.items() if name.startswith(prefix)]
    return known[-1] if known else (1.0, "")


def check(folder: Path, case: dict) -> None:
    read = recorded.read(folder, case)
    emulated = read.emulated()
    assert emulated
    for output, data in emulated.items():
        wanted = read.outputs[output].float()
        if not wanted.numel():
            continue
        least, _ = bound(case["name"])
        if least < 1:
            assert recorded.correlation(data.float(), wanted) >= least
        elif case["name"].startswith(ONE_UNIT):
            assert (recorded.units(data.float(), wanted) <= 1).float().mean() >= 0.99
        else:
            assert (data.float() == wanted).all()


def committed():
    return [case for case in recorded.cases(HERE) if case["name"] not in recorded.NOT_OURS]


def whole():
    if not (WHOLE / "cases.jsonl").exists():
        return []
    return [case for case in recorded.cases(WHOLE) if case["name"] not in recorded.NOT_OURS]


@pytest.mark.parametrize("case", committed(), ids=lambda case: case["name"])
def test_a_committed_case_is_what_the_kernel_gave(case):
    check(HERE, case)


@pytest.mark.parametrize("case", whole() or [None], ids=lambda case: case and case["name"])
def test_a_case_of_the_whole_recording_is_what_the_kernel_gave(case):
    if case is None:
        pytest.skip(f"no whole recording is in {WHOLE}: TTSCRIBE_RECORDED names its folder")
    check(WHOLE, case)


def test_there_is_a_case_of_every_kind():
    names = {case["name"] for case in committed()}
    for start in (
        "linear.",
        "matmul.",
        "sdpa.",
        "sdpa_decode.",
        "conv1d",
        "gelu",
        "exp",
        "softmax",
        "layer_norm",
        "add.",
    ):
        assert any(name.startswith(start) for name in names), start


def test_the_page_has_every_case_of_the_whole_recording():
    """Correlations to the fifth decimal: the last one hangs on the processor's own exponentials."""
    if not whole():
        pytest.skip(f"no whole recording is in {WHOLE}: TTSCRIBE_RECORDED names its folder")
    table = [line.strip("| ").split(" | ") for line in page.PAGE.read_text("utf-8").splitlines() if line[:3] == "| `"]
    for found, now in zip(table, page.rows(WHOLE), strict=True):
        assert found[:4] == [str(cell) for cell in now[:4]]
        assert float(found[-1]) == pytest.approx(float(now[-1]), abs=1e-5)
