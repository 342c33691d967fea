import pytest

import model_reports
from cost_model import page


@pytest.fixture(scope="session")
def bring_up():
    """distil-large-v3's report, files and programs as this code makes them, once by the one worker that has them."""
    return model_reports.whisper_files(page.MODEL)


@pytest.fixture(scope="session")
def programs(bring_up):
    """Its programs by name, under Whisper's default policy."""
    return bring_up[2]
