"""Hundreds of requests at once for a server on this machine, beside the same recordings one by one without it.

    bench/server_load.py [--requests 200] [--model tiny.en] [--markdown docs/server.md]

Recordings are 10 s cut from read English in the extra ``bundled``. All requests are sent at once; each is answered with
the very text that a Transcriber gives, or the run fails.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import av
import httpx
import numpy as np
import psutil

from ttscribe import load_model
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.reports import pages
from ttscribe.reports.model_table import between_markers

MARKERS = ("<!-- load:begin -->", "<!-- load:end -->")
SECONDS, CLIPS = 10, 4
COMMAND = (sys.executable, "-c", "from ttscribe.cli import main; main()", "serve", "--port", "0")


def clips() -> list[bytes]:
    """WAV files of consecutive 10 s."""
    import importlib.util

    found = importlib.util.find_spec("moonshine_voice")
    assert found is not None
    assert found.submodule_search_locations
    samples = load_audio(Path(found.submodule_search_locations[0]) / "assets" / "two_cities.wav")
    size = SECONDS * SAMPLE_RATE
    return [_wav(samples[at * size : (at + 1) * size]) for at in range(CLIPS)]


def _wav(samples: np.ndarray) -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux([*stream.encode(frame), *stream.encode()])
    return file.getvalue()


async def ask(address: str, recordings: list[bytes], count: int) -> tuple[list[float], list[str], float]:
    """Seconds and text of each of ``count`` requests that are sent at once, and seconds until all are answered."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=None, limits=limits) as client:  # noqa: S113 - all wait

        async def one(number: int) -> tuple[float, str]:
            began = time.perf_counter()
            files = {"file": ("clip.wav", recordings[number % len(recordings)])}
            answer = await client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"})
            answer.raise_for_status()
            return time.perf_counter() - began, answer.json()["text"]

        began = time.perf_counter()
        answers = await asyncio.gather(*map(one, range(count)))
        whole = time.perf_counter() - began
    return [seconds for seconds, _ in answers], [text for _, text in answers], whole


def served(model: str, recordings: list[bytes], count: int) -> tuple[list[float], list[str], float, list[float]]:
    """As ``ask`` has it, of a server of its own; and the MiB that it held when it was warm, and afterwards twice."""
    with subprocess.Popen(
        [*COMMAND, "--model", model, "--waiting", str(count)], stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stderr is not None
        address = it.stderr.readline().split()[2].rstrip(";")
        # A log that nobody reads stops the server when the pipe is full.
        threading.Thread(target=it.stderr.read, daemon=True).start()
        while httpx.get(f"{address}/health/ready").status_code != 200:
            time.sleep(0.1)
        held = psutil.Process(it.pid)
        asyncio.run(ask(address, recordings, len(recordings)))
        mib = [held.memory_info().rss / 2**20]
        seconds, texts, whole = asyncio.run(ask(address, recordings, count))
        mib.append(held.memory_info().rss / 2**20)
        asyncio.run(ask(address, recordings, count))
        mib.append(held.memory_info().rss / 2**20)
        it.terminate()
        it.wait()
    return seconds, texts, whole, mib


def alone(model: str, recordings: list[bytes], rounds: int) -> tuple[list[str], float]:
    """The texts of a Transcriber, and seconds for one recording."""
    transcriber = load_model(model, offline=True)

    def text(recording: bytes) -> str:
        segments, _ = transcriber.transcribe(recording)
        return " ".join(segment.text for segment in segments)

    texts = [text(recording) for recording in recordings]
    began = time.perf_counter()
    for number in range(rounds):
        text(recordings[number % len(recordings)])
    return texts, (time.perf_counter() - began) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    recordings = clips()
    texts, each = alone(arguments.model, recordings, 20)
    seconds, answers, whole, mib = served(arguments.model, recordings, arguments.requests)
    wrong = sum(answer != texts[number % len(texts)] for number, answer in enumerate(answers))
    if wrong:
        raise SystemExit(f"{wrong} answers are not what the model gives without a server")
    percentiles = statistics.quantiles(seconds, n=20)
    rows = (
        ("requests, all at once", str(arguments.requests)),
        ("answered with the text that there is without a server", str(len(answers))),
        ("recordings a second", f"{arguments.requests / whole:.2f}"),
        ("recordings a second one after another, without a server", f"{1 / each:.2f}"),
        ("seconds of sound a second", f"{SECONDS * arguments.requests / whole:.0f}"),
        (
            "answer after, s: the median, 95 % of requests, all",
            f"{percentiles[9]:.1f}, {percentiles[18]:.1f}, {whole:.1f}",
        ),
        ("MiB held: warm, after all requests, after as many again", ", ".join(f"{each:.0f}" for each in mib)),
    )
    lines = "\n".join(pages.table(("", arguments.model), rows))
    if arguments.markdown is not None:
        text = arguments.markdown.read_text(encoding="utf-8")
        arguments.markdown.write_text(between_markers(text, lines, arguments.markdown.name, MARKERS), encoding="utf-8")
    print(lines)


if __name__ == "__main__":
    main()
