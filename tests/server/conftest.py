"""A server in this process, with tiny.en, and OpenAI's own client of it."""

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

pytest.importorskip("fastapi", reason="the extra server is not installed: make env")

import httpx
import openai

from ttscribe.server import Limits, ServerSettings, create_app
from ttscribe.server.keys import Keys
from ttscribe.server.run import Server

KEY = "a key of this test's own"


class Running:
    """A server's address, and how it is ended."""

    def __init__(self, settings):
        self.app = create_app(settings)
        self._server = Server(self.app, "127.0.0.1", 0, self._took)
        self._thread = threading.Thread(target=self._server.run)
        self.address = ""
        self._thread.start()
        wait_for(lambda: self.address)

    def _took(self, address):
        self.address = address

    def ask_to_end(self):
        self._server.should_exit = True

    def end(self):
        self.ask_to_end()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def wait_until_ready(self):
        wait_for(lambda: httpx.get(f"{self.address}/health/ready").status_code == 200)

    def client(self, key=KEY, **options):
        return openai.OpenAI(api_key=key, base_url=f"{self.address}/v1", **options)

    def port(self):
        return int(self.address.rpartition(":")[2])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port()), timeout=20)


def wait_for(true, seconds=30):
    for _ in range(seconds * 50):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come about")


@contextmanager
def running(keys=(KEY,), **limits):
    """A server that has to be waited for."""
    settings = ServerSettings("tiny.en", "cpu", "float32", Keys(keys) if keys else None, replace(Limits(), **limits))
    server = Running(settings)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def server():
    """One that is ready."""
    with running() as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def client(server):
    return server.client()
