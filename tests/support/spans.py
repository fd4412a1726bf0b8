"""Spans of a heap, made by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from mapprobe.live.heap.spans import Spans


def spans(*object_bytes: int) -> Spans:
    columns = {f.name: np.zeros(len(object_bytes), np.uint64) for f in fields(Spans)}
    columns |= {"object_bytes": np.array(object_bytes, np.uint64), "has_pointers": np.ones(len(object_bytes), np.bool_)}
    return Spans(**columns | {"sweepgen": 2})
