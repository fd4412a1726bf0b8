"""mapprobe: which call sites of a running Go program hold how many bytes of empty map buckets.

>>> import mapprobe
>>> mapprobe.open("out").retention(by="site", view="fill")  # a pandas.DataFrame
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mapprobe import errors
from mapprobe.errors import MapprobeError

if TYPE_CHECKING:
    from mapprobe.api.census import census
    from mapprobe.api.doctor import doctor, inspect
    from mapprobe.api.recording import Recording, open
    from mapprobe.capture.recorder import record

__version__ = "0.2.0"
__all__ = ["MapprobeError", "Recording", "census", "doctor", "errors", "inspect", "open", "record"]

_HOMES = {
    "Recording": "api.recording", "census": "api.census", "doctor": "api.doctor", "inspect": "api.doctor",
    "open": "api.recording", "record": "capture.recorder",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import mapprobe` itself stays light."""
    if name == "_core":
        return _load_core()
    if name not in _HOMES:
        raise AttributeError(f"module 'mapprobe' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mapprobe.{_HOMES[name]}"), name)


def _load_core() -> Any:
    """Return the native core; the first `from mapprobe import _core` calls this function."""
    try:
        return importlib.import_module("mapprobe._core")
    except ImportError as error:
        raise MapprobeError(
            f"mapprobe._core: {error}: build it with `make core` in a checkout, or with `pip install .`"
        ) from None
