"""Where amounts of a map stand in an array, for who adds them up: the columns of `schema.HOLDINGS`, the views."""

from __future__ import annotations

from mapprobe import schema

HOLDINGS = len(schema.HOLDINGS)
LIVE, DEAD, VIRGIN, SLOTS, BUCKETS, RETAINED_BUCKETS, ALLOCATED, NEEDED, RETAINED = range(HOLDINGS)
VIEW_GROWTH, VIEW_FILL, VIEW_DRAIN = range(3)
VIEWS = 3
