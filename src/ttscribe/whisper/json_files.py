"""Reading the JSON files that come with weights."""

import json
from pathlib import Path
from typing import Any

from ttscribe.errors import CheckpointInvalid


def read_json(path: Path) -> Any:
    """The parsed file.

    Raises:
        CheckpointInvalid: it is absent, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointInvalid(f"{path.parent} has no {path.name}: the checkpoint is incomplete") from None
    except OSError as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        # Python's parser follows nested brackets by recursion, and damaged files can have any number of them.
        raise CheckpointInvalid(f"{path} is not JSON: it is damaged or was not downloaded completely") from None


def read_object(path: Path) -> dict[str, Any]:
    """The parsed file, which must hold a JSON object.

    Raises:
        CheckpointInvalid: it is absent, unreadable, not JSON, or holds something else.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointInvalid(f"{path} must hold a JSON object, not {type(values).__name__}")
    return values
