"""As much of JSON Schema as docs/transcript.schema.json uses."""

from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
_KEYWORDS = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "type", "const", "enum", "minimum", "maximum"),
    *("items", "properties", "required", "additionalProperties"),
}


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, place: str = "$") -> list[str]:
    """Where a document is not as its schema says; an unknown keyword of the schema is a problem too."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    found = [f"{place}: the keyword {keyword} is unknown" for keyword in schema.keys() - _KEYWORDS]
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or isinstance(value, bool)):
        return [*found, f"{place}: {value!r} is no {kind}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is none of {schema['enum']}")
    if kind in ("integer", "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{place}: {value!r} is out of range")
    if kind == "array":
        for index, item in enumerate(value):
            found += problems(item, schema["items"], root, f"{place}[{index}]")
    if kind == "object":
        found += _of_fields(value, schema, root, place)
    return found


def _of_fields(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], place: str) -> list[str]:
    known, others = schema.get("properties", {}), schema["additionalProperties"]
    found = [f"{place}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name in value:
        if name not in known and others is False:
            found.append(f"{place}: {name} is unknown")
        else:
            found += problems(value[name], known.get(name, others), root, f"{place}.{name}")
    return found
