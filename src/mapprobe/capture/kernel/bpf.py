"""bpf(2) through ctypes: the values of a BPF map by its file descriptor (`Table`), and any other command (`call`).

kernel: include/uapi/linux/bpf.h enum bpf_cmd, union bpf_attr, struct bpf_map_info, enum bpf_map_type
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

SYSCALL = 321
MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, OBJ_GET_INFO_BY_FD, MAP_LOOKUP_BATCH, LINK_CREATE, ENABLE_STATS = 1, 2, 15, 24, 28, 32
PER_CPU_TYPES = {5, 6, 10}
"""BPF_MAP_TYPE_PERCPU_HASH, _PERCPU_ARRAY, _LRU_PERCPU_HASH."""
WORD = 8
ELEMENT = struct.Struct("<IxxxxQQQ")
"""Map, addresses of key and value, flags."""
BATCH = struct.Struct("<QQQQIIQQ")
"""Addresses of the first place, of the place reached, of keys and of values; count, map, flags of elements, flags."""
MAP_INFO = struct.Struct("<IIIII")
"""Type, id, bytes of a key and of a value, most entries."""
NO_BATCHES = {errno.EINVAL, 524}
"""Errors of a kernel that knows no batches, or none for maps of this type; 524 is the kernel's own ENOTSUPP."""
POSSIBLE_CPUS = Path("/sys/devices/system/cpu/possible")

_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, attributes: bytes | bytearray) -> int:
    """Call bpf(2) and return its result; the kernel may write to the attributes if they are a bytearray.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    if isinstance(attributes, bytearray):
        given = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    else:
        given = ctypes.create_string_buffer(attributes, len(attributes))
    found = int(_libc.syscall(SYSCALL, command, given, len(attributes)))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


@functools.cache
def possible_cpus() -> int:
    """Return how many values, one for each CPU, the kernel keeps under a key of a per-CPU map."""
    last = POSSIBLE_CPUS.read_text().strip().replace(",", "-").rpartition("-")[2]
    return int(last) + 1


class Table:
    """A BPF map of which this process has a file descriptor.

    Parameters
    ----------
    descriptor
        The map's descriptor; the table closes it.

    Attributes
    ----------
    key_bytes, value_bytes
        Size of a key, and of a value [bytes]; in a per-CPU map the values of all CPUs together are one value.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        info = ctypes.create_string_buffer(MAP_INFO.size)
        call(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info)))
        kind, _, self.key_bytes, self.value_bytes, self._entries = MAP_INFO.unpack(info)
        if kind in PER_CPU_TYPES:
            self.value_bytes = -(-self.value_bytes // WORD) * WORD * possible_cpus()

    def close(self) -> None:
        """Let go of the map."""
        os.close(self.descriptor)

    def look_up(self, key: int) -> bytes:
        """Return a value.

        Raises
        ------
        KeyError
            If there is none.
        OSError
            If the kernel refuses.
        """
        raw = self._key(key)
        value = ctypes.create_string_buffer(self.value_bytes)
        try:
            call(MAP_LOOKUP_ELEM, ELEMENT.pack(self.descriptor, ctypes.addressof(raw), ctypes.addressof(value), 0))
        except FileNotFoundError:
            raise KeyError(key) from None
        return value.raw

    def update(self, key: int, value: bytes) -> None:
        """Write a value.

        Raises
        ------
        OSError
            If the kernel refuses.
        """
        raw, given = self._key(key), ctypes.create_string_buffer(value, self.value_bytes)
        call(MAP_UPDATE_ELEM, ELEMENT.pack(self.descriptor, ctypes.addressof(raw), ctypes.addressof(given), 0))

    def first(self, count: int) -> npt.NDArray[np.uint64]:
        """Return the words of the first values of an array, ``(count, words)``, by one system call where that works.

        Raises
        ------
        OSError
            If the kernel refuses.
        """
        values = np.zeros((count, self.value_bytes // WORD), np.uint64)
        keys, ended = np.zeros(count, np.uint32), ctypes.c_uint32()
        where = (0, ctypes.addressof(ended), keys.ctypes.data, values.ctypes.data)
        request = bytearray(BATCH.pack(*where, count, self.descriptor, 0, 0))
        try:
            call(MAP_LOOKUP_BATCH, request)
        except FileNotFoundError:  # the batch reached the end of the array
            pass
        except OSError as error:
            if error.errno not in NO_BATCHES:
                raise
            values[:] = [np.frombuffer(self.look_up(number), np.uint64) for number in range(count)]
        return values

    def _key(self, key: int) -> ctypes.Array[ctypes.c_char]:
        return ctypes.create_string_buffer(key.to_bytes(self.key_bytes, "little"), self.key_bytes)
