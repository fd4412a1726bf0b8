"""Damaged inputs that were findings: one small JSON file each, replayed by every run of the tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fuzz.outcomes import Input

CORPUS = Path(__file__).with_name("corpus")


def load() -> dict[str, Input]:
    """Return all inputs by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(CORPUS.glob("*.json"))}


def save(given: Input, found: str) -> Path:
    """Keep an input, with the last line of what was wrong."""
    said = [line for line in found.splitlines() if line.strip()]
    name = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
    path = CORPUS / f"{given['target']}-{name}.json"
    path.write_text(json.dumps(given | {"found": said[-1][:200]}, indent=1, ensure_ascii=True) + "\n")
    return path
