"""The names that the package offers, and nothing besides."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ttscribe
from ttscribe import errors
from ttscribe.compiler.blocklist import Blocklist
from ttscribe.writers import write_transcript


def reexported() -> set[str]:
    tree = ast.parse(Path(ttscribe.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.name for node in imports if node.module.startswith("ttscribe.") for name in node.names}


def test_all_is_sorted_and_is_what_the_package_imports_from_its_modules():
    assert ttscribe.__all__ == sorted(ttscribe.__all__)
    assert set(ttscribe.__all__) == reexported()


@pytest.mark.parametrize("name", ttscribe.__all__)
def test_each_name_is_one_of_ours(name):
    assert getattr(ttscribe, name).__module__.startswith("ttscribe.")


def test_every_error_has_a_public_name():
    tree = ast.parse(Path(errors.__file__).read_text(encoding="utf-8"))
    assert {node.name for node in tree.body if isinstance(node, ast.ClassDef)} <= set(ttscribe.__all__)


def test_names_that_options_need_are_public():
    assert inspect.signature(ttscribe.compile).parameters["blocklist"].annotation == "Blocklist | None"
    assert ttscribe.Blocklist is Blocklist
    assert ttscribe.write_transcript is write_transcript


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="'ttscribe' has no attribute 'transcribe'"):
        _ = ttscribe.transcribe


def test_importing_the_package_imports_neither_torch_nor_numpy():
    program = "import sys, ttscribe; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'av')))"
    subprocess.run([sys.executable, "-c", program], check=True)
