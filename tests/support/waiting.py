"""Waiting for a condition, not for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO, TypeVar

import pytest

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0) -> T:
    """Poll until `condition` holds and return what it gave; fail after `timeout` [s]."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout} s in vain")
        pause.wait(0.01)
    return value


def until_attached(said: IO[str]) -> str:
    """Read what a recorder says up to the line that comes once all probes are attached, and return that."""
    told = ""
    for line in said:
        if line.startswith("mapprobe: recording "):
            return line
        told += line
    pytest.fail(f"nothing was attached: {told}")
