"""What makes a wheel, or an editable installation, compile the CPU's kernels; without a compiler it goes on without."""

import runpy
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILDING = "src/ttscribe/devices/cpu/kernels/building.py"


class KernelsHook(BuildHookInterface):
    """Adds the libraries to the wheel, which is then one for this system, for any version of Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        building = runpy.run_path(str(Path(self.root, BUILDING)))
        try:
            libraries = building["build"]()
        except building["CannotBuild"] as error:
            print(f"ttscribe: no int8 on the CPU: {error}", file=sys.stderr)
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"
        if version != "editable":
            inside = Path(self.root, "src")
            build_data["force_include"] |= {str(path): str(path.relative_to(inside)) for path in libraries}


def _platform() -> str:
    import sysconfig

    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
