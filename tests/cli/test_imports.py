"""What a transcription imports: an import of seconds would be most of the time that a short recording takes."""

import os
import subprocess
import sys

import pytest

from ttscribe.devices.cpu import kernels
from ttscribe.whisper.checkpoints.bundled import installed

COMMAND = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from ttscribe.cli import main
main()
"""

NEEDLESS = {
    *("torch", "transformers", "scipy", "pandas", "sklearn", "numba", "onnxruntime", "ctranslate2", "faster_whisper"),
    *("fastapi", "uvicorn", "ray", "fsspec", "pyarrow", "requests", "httpx", "aiohttp", "rich", "tqdm"),
    *(
        f"ttscribe.{name}"
        for name in ("backend", "batch", "bench", "check", "compiler", "lockstep", "reports", "server")
    ),
}


@pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}")
def test_from_the_second_start_on_a_transcription_in_int8_imports_nothing_that_is_slow(beckett, tmp_path):
    if installed("tiny.en") is None:
        pytest.skip("the packages of tiny.en are not installed: make env")
    arguments = ["transcribe", "--model", "tiny.en", "--precision", "int8", "--offline", beckett]
    environment = os.environ | {"TTSCRIBE_CACHE": str(tmp_path), "TTSCRIBE_CONFIG": os.devnull}
    for _start in range(2):
        result = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments], env=environment, capture_output=True, text=True, check=True
        )
    assert "No matter, try again." in result.stdout
    *_, imported = result.stderr.splitlines()
    assert {"numpy", "ttscribe.transcription"} <= set(imported.split())
    assert sorted(NEEDLESS & set(imported.split())) == []
