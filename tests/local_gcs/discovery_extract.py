"""Makes ``local_gcs/google_storage_v1.json`` from Google's discovery document: method names, parameters and fields.

Run it after a new version of google-api-python-client: ``python tests/local_gcs/discovery_extract.py``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googleapiclient

import local_gcs

EXTRACT = Path(local_gcs.__file__).with_name("google_storage_v1.json")
DOCUMENT = Path(googleapiclient.__file__).with_name("discovery_cache") / "documents" / "storage.v1.json"


def extract() -> dict[str, Any]:
    """What the installed discovery document says of methods and schemas, without its prose."""
    document = json.loads(DOCUMENT.read_text())
    return {
        "revision": document["revision"],
        "parameters": sorted(document["parameters"]),
        "methods": dict(sorted(_methods(document["resources"]))),
        "schemas": {name: _shape(schema) for name, schema in sorted(document["schemas"].items())},
    }


def _methods(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in resources.values():
        for method in resource.get("methods", {}).values():
            parameters = method.get("parameters", {})
            query = {name: facts for name, facts in parameters.items() if facts["location"] == "query"}
            yield (
                method["id"],
                {
                    "http": f"{method['httpMethod']} {method['path']}",
                    "parameters": sorted(query),
                    "required": sorted(name for name, facts in query.items() if facts.get("required")),
                    "request": method.get("request", {}).get("$ref"),
                    "response": method.get("response", {}).get("$ref"),
                },
            )
        yield from _methods(resource.get("resources", {}))


def _shape(schema: dict[str, Any]) -> Any:
    """The fields of a schema: a mapping of names, ``*`` for any name; lists are looked through; else the type."""
    if "$ref" in schema:
        return f"#{schema['$ref']}"
    if "items" in schema:
        return _shape(schema["items"])
    if "properties" in schema:
        return {name: _shape(part) for name, part in sorted(schema["properties"].items())}
    if "additionalProperties" in schema:
        return {"*": _shape(schema["additionalProperties"])}
    return schema.get("format") or schema["type"]


def text() -> str:
    """The extract as it is committed: one line a method and a schema."""
    parts = extract()
    lines = [f'{{"revision": "{parts["revision"]}",', f'"parameters": {json.dumps(parts["parameters"])},']
    for part in ("methods", "schemas"):
        rows = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in parts[part].items()]
        lines.append(f'"{part}": {{\n' + ",\n".join(rows) + "\n}" + ("," if part == "methods" else "}"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    EXTRACT.write_text(text())
