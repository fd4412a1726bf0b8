"""sync.Maps of Go 1.24 and later: tries of hashes without a Go map inside; they are found, and their entries counted.

A sync.Map has the address of the function that hashes its keys next to the address of the function that compares its
values, and no other object has both. All memory that is read for other purposes is searched for the first address; only
the tops of the tries that are found are read in addition.

go: internal/sync/hashtriemap.go HashTrieMap indirect node initSlow [1.24..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.go.binary import GoBinary
from mapprobe.live.census.layouts import Layouts
from mapprobe.live.heap.spans import NOWHERE, Layout, Spans, are_allocated
from mapprobe.live.memory import WORD, Memory

KEY_AND_ELEM = "interface {}"
HASHER, ELEM_TYPE, EQUAL = 72, 56, 24
"""Offsets in a map type of its hasher and of its element's type; offset in any type of its comparison [bytes].
go: internal/abi/map*.go Hasher Elem [1.24..1.27], internal/abi/type.go Type Equal [1.21..1.27]"""
INITED, ROOT, KEY_HASH, VAL_EQUAL, MAP_WORDS = 0, 2, 3, 4, 6
"""Words of a sync.Map. go: internal/sync/hashtriemap.go HashTrieMap inited root keyHash valEqual [1.24..1.27]"""
CHILDREN, NODE_WORDS, IS_ENTRY = 3, 19, np.uint64(0xFF)
"""Word of an inner node's first child, words of an inner node, and bits of any node's first word that mark an entry.
go: internal/sync/hashtriemap.go indirect node [1.24..1.27]"""
DEEPEST = 16
"""Most levels of a trie. go: internal/sync/hashtriemap.go nChildrenLog2 [1.24..1.27]"""
MOST_NODES = 1 << 18
"""Most inner nodes of one level that are read besides the roots: enough for a million entries."""
NODES_AT_ONCE = 1 << 12
MOST_BYTES = 1 << 28
"""Bytes after which no more nodes are read: nodes lie between other objects, which are read with them."""


@dataclass(frozen=True, slots=True)
class SyncMaps:
    """The sync.Maps of a process; one row each.

    Attributes
    ----------
    addr
        Address of the sync.Map.
    entries
        Number of entries that were counted.
    is_counted
        All entries were counted; else there are more.
    """

    addr: U64
    entries: I64
    is_counted: Flags


@dataclass(frozen=True, slots=True)
class Signature:
    """Addresses of the two functions that every sync.Map of a process has."""

    hasher: int
    equal: int


def signature_of(binary: GoBinary, layouts: Layouts) -> Signature | None:
    """Return the functions by which sync.Maps are recognised, None if the program can have no sync.Map."""
    if binary.go_release < (1, 24):
        return None
    for addr, bucket_type in layouts.bucket_types.items():
        shape = layouts.at(bucket_type + layouts.bias)
        of = None if shape is None else layouts.shapes[shape].map_type
        if of and of.key == of.elem == KEY_AND_ELEM:
            hasher, equal = binary.word(addr + HASHER), binary.word(binary.word(addr + ELEM_TYPE) + EQUAL)
            return Signature(hasher + layouts.bias, equal + layouts.bias)
    return None


def find_sync_maps(memory: Memory, layout: Layout, spans: Spans, signature: Signature) -> SyncMaps:
    """Return the sync.Maps in the memory that was read since `Memory.look_out`.

    Words in free objects don't count. A sync.Map that was never used has no functions, and is not found.
    """
    places = memory.sighted()
    addrs = places - np.uint64(WORD * KEY_HASH)
    words, is_there = memory.words(addrs, MAP_WORDS)
    inited = words[:, INITED] & np.uint64(0xFFFFFFFF)
    is_one = is_there & (words[:, KEY_HASH] == np.uint64(signature.hasher))
    is_one &= (words[:, VAL_EQUAL] == np.uint64(signature.equal)) & (inited == 1) & (words[:, ROOT] != 0)
    rows = np.flatnonzero(is_one)
    rows = rows[_are_used(memory, layout, spans, addrs[rows])]
    entries, is_counted = count_entries(memory, words[rows, ROOT])
    return SyncMaps(addrs[rows], entries, is_counted)


def count_entries(memory: Memory, roots: U64) -> tuple[I64, Flags]:
    """Return how many entries each trie has, and whether all were counted; of a large trie only the top is read."""
    entries, is_counted = np.zeros(len(roots), np.int64), np.ones(len(roots), np.bool_)
    nodes, owner, most_bytes = roots, np.arange(len(roots)), memory.bytes + MOST_BYTES
    for _ in range(DEEPEST):
        if not 0 < len(nodes) <= MOST_NODES + len(roots):
            break
        order, inner = np.argsort(nodes), [(nodes[:0], owner[:0])]
        for start in range(0, len(order), NODES_AT_ONCE):
            if memory.bytes > most_bytes:
                is_counted[owner[order[start:]]] = False
                break
            rows = order[start : start + NODES_AT_ONCE]
            parent, children, is_entry = _children(memory, nodes[rows])
            of = owner[rows][parent]
            entries += np.bincount(of[is_entry], minlength=len(roots))
            inner.append((children[~is_entry], of[~is_entry]))
        nodes, owner = (np.concatenate(parts) for parts in zip(*inner, strict=True))
    is_counted[owner] = False  # tries with nodes that were not read
    return entries, is_counted


def _children(memory: Memory, nodes: U64) -> tuple[I64, U64, Flags]:
    """Return the children of inner nodes that can be read: row of the node, address, and whether it is an entry."""
    words, _ = memory.words(nodes, NODE_WORDS)
    parent, place = np.nonzero(words[:, CHILDREN:])
    children = words[parent, CHILDREN + place]
    first, is_there = memory.words(children)
    is_entry = first[is_there, 0] & IS_ENTRY != 0
    return parent[is_there], children[is_there], is_entry


def _are_used(memory: Memory, layout: Layout, spans: Spans, addrs: U64) -> Flags:
    """Return which addresses are in an allocated object, or outside of the heap: in a variable or on a stack."""
    if not len(addrs):
        return np.empty(0, np.bool_)
    span, _ = spans.find(addrs)
    in_object = np.flatnonzero(span != NOWHERE)
    found: Flags = span == NOWHERE
    found[in_object] = are_allocated(memory, layout, spans, addrs[in_object], span[in_object])
    return found
