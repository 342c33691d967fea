# /// script
# requires-python = ">=3.10"
# dependencies = ["pyelftools>=0.31", "ziglang>=0.13"]
# ///
"""Let a PyTorch that was built for CUDA run on the CPU where CUDA's libraries are not installed.

Usage: uv run --script scripts/stand_in_for_cuda.py PACKAGES, the site-packages folder that holds torch.

The torch that the Python registry has for Linux is linked against CUDA's libraries, gigabytes of them, and does not
load without, although it needs nothing of them where there is no GPU. This puts one small library beside torch's own,
under the name of each. Its functions return cudaErrorNoDevice: torch finds no GPU and uses the CPU. torch's own files
stay as they are.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile

STAND_IN = "libstand-in-for-cuda.so"
LIBRARIES = ("libcu", "libnccl", "libnvrtc", "libnvshmem", "libnvToolsExt")
FUNCTIONS = ("cu", "__cuda", "nccl", "nvrtc", "nvshmem", "nvtx")

# 100 is cudaErrorNoDevice, which torch takes for "no GPU" without a warning. Texts are read for torch's own message
# where something asks for the GPU all the same.
TEXT_FUNCTIONS = ("String", "ErrorName", "ncclGetLastError")
NO_DEVICE = "int {}(void) {{ return 100; }}"
TEXT = 'const char *{}(void) {{ return "CUDA is not installed in this environment"; }}'


def needed(library: ELFFile) -> set[str]:
    """The names of the libraries that a library loads."""
    return {tag.needed for tag in library.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}


def lacking(library: ELFFile) -> Iterator[tuple[str, str]]:
    """What a library takes from others, each symbol with the version that it wants, or ""."""
    wanted = library.get_section_by_name(".gnu.version_r")
    versions = {each["vna_other"]: each.name for _, group in wanted.iter_versions() for each in group}
    numbers = library.get_section_by_name(".gnu.version")
    symbols = library.get_section_by_name(".dynsym")
    # The hash table is of what others may look up, the last of the symbols: what is taken from others comes first.
    for index in range(1, library.get_section_by_name(".gnu.hash").params["symoffset"]):
        yield symbols.get_symbol(index).name, versions.get(numbers.get_symbol(index)["ndx"], "")


def version_script(versions: dict[str, str]) -> str:
    """What tells a linker the version of each function that has one."""
    groups = defaultdict(list)
    for function, version in versions.items():
        groups[version].append(function)
    return "".join(f"{version} {{ global: {'; '.join(group)}; }};\n" for version, group in groups.items() if version)


def compile_library(target: Path, versions: dict[str, str]) -> None:
    """Make a library of functions, given with the version of each or ""."""
    code = [(TEXT if name.endswith(TEXT_FUNCTIONS) else NO_DEVICE).format(name) for name in versions]
    with tempfile.TemporaryDirectory() as folder:
        (source := Path(folder, "functions.c")).write_text("\n".join(code))
        (script := Path(folder, "versions.map")).write_text(version_script(versions))
        options = ["-shared", "-nostdlib", "-O1", f"-Wl,-soname,{target.name}", f"-Wl,--version-script={script}"]
        compiler = [sys.executable, "-m", "ziglang", "cc", "-fno-builtin"]
        caches = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        subprocess.run([*compiler, *options, source, "-o", target], env={**os.environ, **caches}, check=True)


def stand_in(folder: Path) -> int:
    """Put the library beside those in ``folder``, under each name that they need; gives how many names."""
    libraries, functions = set(), {}
    for path in folder.glob("*.so*"):
        with path.open("rb") as file:
            library = ELFFile(file)
            libraries |= {name for name in needed(library) if name.startswith(LIBRARIES)}
            functions |= {name: version for name, version in lacking(library) if name.startswith(FUNCTIONS)}
    compile_library(folder / STAND_IN, functions)
    for name in libraries:
        (folder / name).symlink_to(STAND_IN)
    return len(libraries)


def main(arguments: list[str]) -> str | None:
    """Make it for the torch in the folder that is given; gives what is wrong, if anything is."""
    if len(arguments) != 1:
        return "name the site-packages folder that holds torch"
    folder = Path(arguments[0], "torch", "lib")
    if not folder.is_dir():
        return f"torch is not installed in {arguments[0]}"
    if (folder / STAND_IN).exists():
        return f"{folder} has its stand-in already"
    print(f"torch gets a stand-in for {stand_in(folder)} libraries of CUDA")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
