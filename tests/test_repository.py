"""Rules that hold over the whole repository, and the script that finds a Python."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ttscribe.compiler.passes import PASSES
from ttscribe.compiler.program import Reason

ROOT = Path(__file__).resolve().parents[1]
FIND_PYTHON = ROOT / "scripts" / "find-python"
PACKAGE = ROOT / "src" / "ttscribe"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON312 = Path(sys.base_prefix) / "bin" / "python3.12"

# What each part may import beside itself: docs/architecture.md draws it. "" is the package's root.
MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "files": {"errors"},
    "options": {"errors"},
    "processor": set(),
    "threads": {"processor"},
    "audio": set(),
    "writers": set(),
    "whisper": {"audio"},
    "compiler": {"whisper"},
    "decoding": {"whisper"},
    "devices": {"audio", "whisper", "compiler", "decoding", "processor", "threads"},
    "alignment": {"whisper", "decoding"},
    "vad": {"audio"},
    "live": {"audio", "vad"},
    "gathering": {"decoding"},
    "windows": {"audio", "decoding", "alignment", "vad", "gathering"},
    "languages": {"whisper", "decoding", "windows"},
    "parts": {"vad", "windows"},
    "backend": {"compiler", "devices"},
    "transcription": {
        *("audio", "whisper", "devices", "decoding", "alignment", "vad", "windows", "languages", "parts", "live"),
        *("threads", "gathering"),
    },
    "batch": {"", "audio", "parts", "writers"},
    "server": {"", "whisper", "devices", "transcription", "live", "writers"},
    "check": {"whisper", "compiler", "devices"},
    "evaluation": {"audio", "whisper", "decoding", "devices"},
    "reports": {"audio", "whisper", "compiler", "devices", "decoding", "check", "evaluation"},
    "tune": {"compiler", "devices", "check", "reports"},
    "bench": {"", "audio", "whisper", "devices", "decoding", "reports", "processor"},
    "cases": {"compiler", "devices", "evaluation"},
    "lockstep": {"audio", "whisper", "compiler", "devices", "check", "evaluation"},
    "cli": {
        *("", "audio", "writers", "whisper", "compiler", "devices", "decoding", "transcription", "live"),
        *("batch", "bench", "cases", "check", "evaluation", "lockstep", "processor", "reports", "server", "threads"),
        "tune",
    },
}

# What every other part may import too.
EVERYWHERE = {"errors", "types", "files", "options"}

# PyTorch documents whl/cpu as the address for those who want no CUDA: docs/install.md passes it on.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(rb"/(?:root|home|work|workspace|Users)/"),
    "a package registry's host": re.compile(
        rb"pypi\.org|pythonhosted\.org|download\.pytorch\.org(?!/whl/cpu\b)|npmjs\.(?:org|com)"
    ),
}


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def part_of(module: str) -> str:
    return module.removeprefix("ttscribe").removeprefix(".").partition(".")[0]


def imported_parts(path: Path) -> set[str]:
    """The parts of ttscribe that a file imports, "" for names of the package's root."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            parts |= {part_of(name.name) for name in node.names if name.name.split(".")[0] == "ttscribe"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ttscribe":
            names = [node.module] if node.module != "ttscribe" else [f"ttscribe.{name.name}" for name in node.names]
            parts |= {part if part in MAY_IMPORT else "" for part in map(part_of, names)}
    return parts


def may_import(part: str) -> set[str]:
    return MAY_IMPORT[part] | {part} | (set() if part in EVERYWHERE else EVERYWHERE)


def modules() -> dict[Path, str]:
    """Every file of the package but its root, with the part that it belongs to."""
    paths = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return {path: path.relative_to(PACKAGE).with_suffix("").parts[0] for path in paths}


def test_every_part_has_its_place():
    assert set(modules().values()) <= set(MAY_IMPORT)


def test_a_part_imports_only_from_parts_before_it():
    wrong = {
        f"{path.relative_to(PACKAGE)} imports {other or 'the root'}"
        for path, part in modules().items()
        for other in imported_parts(path) - may_import(part)
    }
    assert not wrong


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what):
    assert not [str(path.relative_to(ROOT)) for path in tracked_files() if FORBIDDEN[what].search(path.read_bytes())]


def test_there_is_no_lock_file():
    assert not [path.name for path in tracked_files() if re.search(r"\.lock$|^requirements.*\.txt$", path.name)]


def test_scripts_can_be_executed():
    scripts = [path for path in (ROOT / "scripts").iterdir() if not path.suffix]
    assert all(os.access(path, os.X_OK) for path in (*scripts, ROOT / ".ci" / "run"))


def prose(page: Path) -> str:
    """A Markdown page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead, but for other sites."""
    found = re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))
    return [link for link in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The fragments by which GitHub links to a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, fragment = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not fragment or target.suffix != ".md" or fragment in anchors(target))


def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_exist():
    assert sum(len(links(page)) for page in PAGES) > 50
    assert not [
        f"{page.relative_to(ROOT)}: {link}" for page in PAGES for link in links(page) if not leads_somewhere(page, link)
    ]


def test_the_table_of_passes_has_all_of_them_in_their_order():
    section = (
        (ROOT / "docs" / "compiler.md").read_text(encoding="utf-8").partition("## Passes")[2].partition("\n## ")[0]
    )
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ["lowered", *PASSES]


@pytest.fixture
def bare(tmp_path):
    """An environment in which nothing names a Python: only what the script itself calls is on the path."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "tr"):
        (tools / tool).symlink_to(shutil.which(tool))
    return {"PATH": str(tools), "HOME": str(tmp_path)}


@pytest.fixture
def python312() -> Path:
    if not PYTHON312.exists():
        pytest.skip("the tests do not run on Python 3.12: make env")
    return PYTHON312


def find(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FIND_PYTHON, "3.12"], env=environment, capture_output=True, text=True, check=False)


def put(path: Path, target: Path) -> Path:
    """An interpreter at ``path`` that is really ``target``."""
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec "{target}" "$@"\n')
    path.chmod(0o755)
    return path


def test_search_takes_a_python_on_the_path(bare, tmp_path, python312):
    python = put(tmp_path / "a folder" / "python3.12", python312)
    found = find({**bare, "PATH": f"{python.parent}:{bare['PATH']}"})
    assert (found.returncode, found.stdout) == (0, f"{python}\n")


def test_search_passes_over_a_python312_that_does_not_run(bare, tmp_path, python312):
    shim = put(tmp_path / "shims" / "python3.12", tmp_path / "absent")
    python = put(tmp_path / "good" / "python3.12", python312)
    found = find({**bare, "PATH": f"{shim.parent}:{python.parent}:{bare['PATH']}"})
    assert found.stdout == f"{python}\n"


def test_search_takes_a_python_of_pyenv(bare, tmp_path, python312):
    python = put(tmp_path / ".pyenv" / "versions" / "3.12.9" / "bin" / "python", python312)
    assert find(bare).stdout == f"{python}\n"


def test_search_does_not_take_our_own_environment(bare, tmp_path, python312):
    python = put(tmp_path / ".pyenv" / "versions" / "3.12.9" / "bin" / "python", python312)
    assert find({**bare, "PATH": f"{ROOT / '.venv' / 'bin'}:{bare['PATH']}"}).stdout == f"{python}\n"


def test_search_takes_the_python_that_it_is_given(bare, tmp_path, python312):
    python = put(tmp_path / "my own" / "python", python312)
    assert find({**bare, "TTSCRIBE_PYTHON": str(python)}).stdout == f"{python}\n"


def test_search_refuses_another_version_that_it_is_given(bare, tmp_path, python312):
    put(tmp_path / "good" / "python3.12", python312)
    path = f"{tmp_path / 'good'}:{bare['PATH']}"
    found = find({**bare, "PATH": path, "TTSCRIBE_PYTHON": "/bin/false"})
    assert (found.returncode, found.stdout) == (1, "")
    assert "TTSCRIBE_PYTHON=/bin/false is not a Python 3.12" in found.stderr


def test_search_names_what_to_install_where_there_is_none(bare):
    if [
        *Path("/usr").glob("bin/python3.12"),
        *Path("/usr/local").glob("bin/python3.12"),
        *Path("/opt").glob("*/bin/python3.12"),
    ]:
        pytest.skip("this machine has a Python 3.12 in a place that is always looked at")
    found = find(bare)
    assert (found.returncode, found.stdout) == (1, "")
    assert "apt-get install python3.12 python3.12-venv" in found.stderr
    assert "TTSCRIBE_PYTHON=" in found.stderr


def test_no_message_has_pip_take_ttscribe_from_a_registry():
    """There is none that has it: a clone's or a wheel's path is what pip can be given."""
    told = re.compile(r"pip install [^\n]*\bttscribe\b")
    assert not [path for path in PACKAGE.rglob("*.py") if told.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [("compiler.md", "Each refused node has a reason (", ")"), ("torch_compile.md", "| reason |", "\n\n")],
)
def test_pages_list_the_reasons_that_there_are(page, before, after):
    listed = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(before)[2].partition(after)[0]
    cells = [line.split("|")[1] if line.startswith("|") else line for line in listed.splitlines()]
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == {reason.value for reason in Reason}
