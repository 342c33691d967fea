"""What a user is told whose card cannot be opened."""

import pytest

from ttscribe.devices import make_runner, open_program_device
from ttscribe.devices.ttnn import compiler, device
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.transcription import load_model


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A machine with neither card, simulator nor mock board."""
    for name in ("TT_METAL_MOCK_CLUSTER_DESC_PATH", "TT_METAL_SIMULATOR", "TT_METAL_RUNTIME_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "CARDS", tmp_path / "tenstorrent")
    monkeypatch.setattr(compiler, "SYSTEM", tmp_path / "sfpi")
    monkeypatch.setenv("TT_METAL_SLOW_DISPATCH_MODE", "1")


def refused(**arguments) -> str:
    with pytest.raises(DeviceUnavailable) as caught:
        open_program_device(**{"device": "ttnn", "precision": "bf16-hifi3", **arguments})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_driver_it_says_so_and_what_needs_no_card():
    said = refused()
    assert "tt-kmd" in said
    assert "ttscribe check" in said


def test_a_card_that_may_not_be_opened_is_about_permissions(tmp_path):
    (tmp_path / "tenstorrent").mkdir()
    assert "may be opened by this user" in refused()


def test_a_simulator_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("TT_METAL_SIMULATOR", str(tmp_path / "ttsim.so"))
    assert "ttsim.so, which does not exist" in refused()


def test_a_simulator_needs_the_kernel_compiler(monkeypatch, tmp_path):
    simulator = tmp_path / "ttsim.so"
    simulator.touch()
    monkeypatch.setenv("TT_METAL_SIMULATOR", str(simulator))
    assert "ttnn.download_sfpi" in refused()


def test_an_unknown_board_is_refused_by_name():
    with pytest.raises(OptionError, match="no board is called 'n151'; there is n150, n300, n300x2, p150"):
        open_program_device("ttnn:n151", "bf16-hifi3")


def test_the_emulator_is_no_board():
    with pytest.raises(OptionError, match="choose emulator or emulator:kernels"):
        open_program_device("emulator:n150", "bf16-hifi3")


def test_a_model_is_not_put_on_a_card_that_is_not_there(tiny_en):
    with pytest.raises(DeviceUnavailable, match="tt-kmd"):
        make_runner("ttnn", tiny_en.model)


def test_nobody_transcribes_on_a_mock_board(monkeypatch):
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "n150.yaml")
    with pytest.raises(DeviceUnavailable, match="a mock board computes nothing"):
        load_model("tiny.en", device="ttnn", offline=True)


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Timed out waiting for lock CHIP_IN_USE_0_PCIe held by pid 812", "in use by another process"),
        ("TT_FATAL @ a.cpp:1: ok\ninfo:\nFirmware version 17.4.0 is not supported", "update it with tt-flash"),
        ("Failed to map hugepage 0", "hugepages-setup"),
        ("No chips detected in the cluster", "check tt-smi"),
        ("Something else altogether", "the card cannot be opened: Something else altogether"),
    ],
)
def test_what_the_driver_says_is_told_with_what_to_do(said, meaning):
    told = device.trouble(RuntimeError(said))
    assert meaning in told
    assert "\n" not in told
