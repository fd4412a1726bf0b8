"""Reading /proc/PID/smaps, mapping by mapping."""

from __future__ import annotations

import os

from mapprobe.live.heap.residence import Mapping, parsed
from mapprobe.live.process import Process

SMAPS = """\
00400000-00500000 r-xp 00000000 08:01 4711                               /srv/my shop
Size:               1024 kB
Rss:                 512 kB
Pss:                 512 kB
01000000-01100000 rw-p 00000000 00:00 0                                  [heap]
Rss:                   8 kB
c000000000-c004000000 rw-p 00000000 00:00 0
Rss:               65536 kB
"""


def test_each_mapping_is_there_with_what_is_resident_of_it() -> None:
    assert list(parsed(SMAPS)) == [
        Mapping(0x400000, 0x500000, is_file=True, name="/srv/my shop", resident=512 << 10),
        Mapping(0x1000000, 0x1100000, is_file=False, name="[heap]", resident=8 << 10),
        Mapping(0xC000000000, 0xC004000000, is_file=False, name="", resident=64 << 20),
    ]


def test_the_mappings_of_a_process_sum_to_its_resident_memory() -> None:
    with Process(os.getpid()) as process:
        found = sum(mapping.resident for mapping in parsed(process.smaps()))
        # the system's own count of it lags behind by some pages for each processor
        assert abs(found - process.resident_bytes()) < 4 << 20
