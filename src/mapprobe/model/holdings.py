"""The rows of an array of a map's amounts (slots, buckets, bytes), in the order of `schema.HOLDINGS`; and of the views.

The core has the same numbers in src/core/charges.h; tests/model/test_core.py compares them.
"""

from __future__ import annotations

from mapprobe.recording.tables import schema

HOLDINGS = len(schema.HOLDINGS)
LIVE, DEAD, VIRGIN, SLOTS, BUCKETS, RETAINED_BUCKETS, ALLOCATED, NEEDED, RETAINED = range(HOLDINGS)
VIEW_GROWTH, VIEW_FILL, VIEW_DRAIN = range(3)
VIEWS = 3
