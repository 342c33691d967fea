"""The mock board: what it is made of, and that it stays in its own folder."""

import json
import re
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ttscribe.compiler.boards import BOARDS
from ttscribe.devices.ttnn import mock
from ttscribe.devices.ttnn.mock import cluster_descriptor, firmware_compiler, inert_program, mock_environment
from ttscribe.errors import DeviceUnavailable, OptionError

COMPILER = re.compile(r"\(tenstorrent/sfpi:\d+\.\d+\.\d+\S*\) \d+\.\d+\.\d+")

ADDS = """
import torch, ttnn
device = ttnn.open_device(device_id=0)
x = ttnn.from_torch(torch.zeros(64, 64), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=device)
print(list(ttnn.add(x, x).shape))
ttnn.close_device(device)
"""

GRIDS = """
import sys
from ttscribe.devices.ttnn.device import TtnnDevice
with TtnnDevice(sys.argv[1]) as device:
    for grid in (device.handle.dram_grid_size(), device.handle.compute_with_storage_grid_size()):
        print(grid.x, grid.y)
"""

PREPARES = """
import sys
from ttscribe.devices.ttnn.mock import mock_environment
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    environment = mock_environment("n150")
print(environment["TT_METAL_RUNTIME_ROOT"])
"""


@pytest.fixture
def wheel():
    return Path(mock.importlib.util.find_spec("ttnn").origin).resolve().parent


@pytest.fixture
def own_home(monkeypatch, tmp_path):
    """A home folder in which nothing is yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    return home


def files(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir()}


@pytest.mark.parametrize(
    ("name", "architecture", "chips", "links"),
    [("n150", "wormhole_b0", 1, 0), ("n300", "wormhole_b0", 2, 2), ("p150", "blackhole", 1, 0)],
)
def test_a_descriptor_tells_a_board(name, architecture, chips, links):
    told = json.loads(cluster_descriptor(BOARDS[name]))
    numbers = [str(chip) for chip in range(chips)]
    assert told["arch"] == dict.fromkeys(numbers, architecture)
    assert told["chip_to_boardtype"] == dict.fromkeys(numbers, name)
    assert len(told["ethernet_connections"]) == links


def test_chips_of_a_board_share_its_identity_and_differ_in_their_own():
    told = json.loads(cluster_descriptor(BOARDS["n300"]))
    identity, board_type, chips = told["boards"][0]
    assert identity["board_id"] >> 36 & 0xFF == BOARDS["n300"].identity
    assert (board_type["board_type"], chips["chips"]) == ("n300", [0, 1])
    assert len(set(told["chip_unique_ids"].values())) == 2


@pytest.mark.parametrize("name", BOARDS)
def test_the_environment_names_the_descriptor_of_the_board(own_home, name):
    environment = mock_environment(name)
    told = Path(environment["TT_METAL_MOCK_CLUSTER_DESC_PATH"])
    assert told.is_relative_to(own_home / "cache")
    assert told.read_text() == cluster_descriptor(BOARDS[name])


def test_the_environment_keeps_what_changes_the_firmware_out(own_home):
    assert not {"TT_METAL_INSPECTOR", "TT_METAL_DISABLE_SFPLOADMACRO"} & mock_environment("n150").keys()


def test_an_unknown_board_is_named():
    with pytest.raises(OptionError, match="no board is called 'e75'; there is n150, n300, n300x2, p150"):
        mock_environment("e75")


def test_the_compiler_of_the_firmware_is_read_from_the_wheel(wheel):
    assert COMPILER.fullmatch(firmware_compiler(wheel))


def test_a_wheel_without_firmware_is_no_mock_board(tmp_path):
    with pytest.raises(DeviceUnavailable, match=rf"ttnn {re.escape(version('ttnn'))} carries no precompiled firmware"):
        firmware_compiler(tmp_path)


def test_without_ttnn_there_is_no_mock_board(own_home, monkeypatch):
    monkeypatch.setattr(mock.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceUnavailable, match="needs the ttnn library: install ttscribe with its extra 'tt'"):
        mock_environment("n150")


@pytest.fixture
def compiler(own_home):
    """The stand-in compiler."""
    root = Path(mock_environment("n150")["TT_METAL_RUNTIME_ROOT"])
    return root / "runtime" / "sfpi" / "compiler" / "bin" / "riscv-tt-elf-g++"


def test_the_stand_in_compiler_says_that_it_is_the_firmwares(compiler, wheel):
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == f"riscv-tt-elf-g++ {firmware_compiler(wheel)}"


def test_the_stand_in_compiler_links_the_inert_program_and_compiles_to_nothing(compiler, tmp_path):
    linked, made, depends = tmp_path / "kernel.elf", tmp_path / "kernel.o", tmp_path / "kernel.d"
    source = tmp_path / "kernel.cc"
    source.touch()
    subprocess.run([compiler, "-MF", depends, "-c", source, "-o", made], check=True)
    subprocess.run([compiler, made, "-o", linked], check=True)
    assert made.read_bytes() == b""
    assert depends.read_text() == f"{made}: {source}\n"
    assert linked.read_bytes() == inert_program()


def test_the_inert_program_is_a_32_bit_riscv_executable():
    program = inert_program()
    assert program[:7] == b"\x7fELF\1\1\1"
    kind, machine, _, entry = struct.unpack_from("<HHII", program, 16)
    assert (kind, machine) == (2, 243)
    segments_at, sections_at = struct.unpack_from("<II", program, 28)
    _, segment_size, segment_count, section_size, section_count, _ = struct.unpack_from("<6H", program, 40)
    assert (segment_size, segment_count, section_size) == (32, 1, 40)
    loads, offset, address = struct.unpack_from("<III", program, segments_at)
    assert (loads, address) == (1, entry)
    assert program[offset : offset + 8] == struct.pack("<II", 0x00000513, 0x00008067)
    assert len(program) == sections_at + section_count * section_size


def test_nothing_is_written_outside_the_cache_folder(own_home, wheel, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    before = files(wheel)
    said = subprocess.run(
        [sys.executable, "-c", ADDS], env=mock_environment("n150"), cwd=here, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[64, 64]"
    assert list((own_home / "cache").iterdir()) == [own_home / "cache" / "ttscribe"]
    assert list(own_home.iterdir()) == [own_home / "cache"]
    assert list(here.iterdir()) == []
    assert files(wheel) == before


@pytest.mark.parametrize("name", BOARDS)
def test_weights_and_products_are_cut_for_the_banks_and_cores_that_a_board_has(name):
    command = [sys.executable, "-c", GRIDS, name]
    told = subprocess.run(command, env=mock_environment(name), capture_output=True, text=True, check=True)
    columns, rows = BOARDS[name].grid
    assert told.stdout.splitlines()[-2:] == [f"{BOARDS[name].dram_banks} 1", f"{columns} {rows}"]


def test_two_processes_may_prepare_it_at_once(own_home):
    command = [sys.executable, "-c", PREPARES]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        for process in (one, other):
            assert process.stdout.readline() == "ready\n"
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
        roots = {process.stdout.read().strip() for process in (one, other)}
    assert (one.returncode, other.returncode) == (0, 0)
    (root,) = map(Path, roots)
    compilers = root / "runtime" / "sfpi" / "compiler" / "bin"
    assert {path.name for path in compilers.iterdir()} == {"inert.elf", "riscv-tt-elf-g++"}
    assert not [path for path in root.rglob("*") if re.search(r"\.\d+$", path.name)]
