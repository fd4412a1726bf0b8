"""Tries made by chance: whatever a process's memory contains, counting ends and says whether it is complete."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.live import memory as memories
from mapprobe.live.census import sync_maps
from mapprobe.live.census.sync_maps import CHILDREN, DEEPEST, NODE_WORDS, count_entries
from mapprobe.live.memory import Memory

START, WORDS = 0xC000000000, 1 << 12
ENTRY = 1


def reader(words):
    """Return what reads a memory that begins at `START` and has these words."""
    raw = np.array(words, np.uint64).tobytes()

    def read_into(addr, buffer):
        part = raw[addr - START : addr - START + len(buffer)] if addr >= START else b""
        buffer[: len(part)] = part
        return len(part)

    return read_into


def count(words, *roots):
    """Return how many entries tries have that stand at these words of a memory."""
    addrs = np.array([START + 8 * root for root in roots], np.uint64)
    entries, is_counted = count_entries(Memory(reader(words)), addrs)
    return entries.tolist(), is_counted.tolist()


def trie(depth, children=16):
    """Return the words of a full trie, its root first; its leaves are entries."""
    words, level = [0] * NODE_WORDS, [0]
    for left in range(depth, 0, -1):
        following = []
        for node in level:
            for child in range(children):
                words[node + CHILDREN + child] = START + 8 * len(words)
                following.append(len(words))
                words += [0] * NODE_WORDS if left > 1 else [ENTRY]
        level = following
    return words


@pytest.mark.parametrize(("depth", "children", "entries"), [(0, 16, 0), (1, 16, 16), (3, 16, 4096), (DEEPEST, 1, 1)])
def test_entries_of_a_trie_are_counted(depth, children, entries):
    assert count(trie(depth, children), 0) == ([entries], [True])


def test_two_tries_are_told_apart():
    words = trie(2)
    words += [0] * NODE_WORDS
    assert count(words, 0, len(words) - NODE_WORDS) == ([256, 0], [True, True])


def test_of_a_large_trie_the_top_is_counted(monkeypatch):
    monkeypatch.setattr(sync_maps, "MOST_NODES", 100)

    assert count(trie(3), 0) == ([0], [False])


def test_what_is_read_for_it_has_a_bound(monkeypatch):
    monkeypatch.setattr(sync_maps, "MOST_BYTES", 8 * WORDS)
    monkeypatch.setattr(sync_maps, "NODES_AT_ONCE", 8)
    words = trie(3)
    memory = Memory(reader(words))
    entries, is_counted = count_entries(memory, np.array([START], np.uint64))

    assert (entries.tolist(), is_counted.tolist()) != ([4096], [True])
    assert not is_counted[0]
    assert memory.bytes < 3 * 8 * len(words)


def test_a_trie_of_itself_ends():
    words = [0] * NODE_WORDS
    words[CHILDREN] = START

    assert count(words, 0) == ([0], [False])


def test_a_trie_that_is_torn_has_what_is_there():
    words = trie(1)
    words[CHILDREN] = 0xDEADBEEF00

    assert count(words, 0) == ([15], [True])


@given(st.data(), st.integers(0, 40))
def test_any_words_are_counted_to_an_end(data, roots):
    places = st.integers(0, WORDS - 1).map(lambda place: START + 8 * place)
    word = st.one_of(places, st.just(0), st.integers(0, (1 << 64) - 1))
    words = data.draw(st.lists(word, min_size=WORDS // 16, max_size=WORDS // 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync_maps, "MOST_NODES", 1000)
        entries, is_counted = count(words, *range(roots))

    assert len(entries) == len(is_counted) == roots
    assert max(entries, default=0) <= DEEPEST * 16 * (1000 + roots)


def test_a_word_that_is_looked_out_for_is_noted_where_it_is_read():
    words = list(range(WORDS))
    words[7] = words[500] = 1 << 40
    memory = Memory(reader(words))
    memory.words(np.array([START + 56], np.uint64))
    memory.look_out(1 << 40)
    memory.run(START, 8 * WORDS)
    memory.run(START, 8 * WORDS)

    assert memory.sighted().tolist() == [START + 56, START + 4000]
    memory.run(START, 8 * WORDS)
    assert memory.sighted().tolist() == [START + 56, START + 4000]


def test_no_more_places_are_noted_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(memories, "MOST_SIGHTINGS", 10)
    memory = Memory(reader([5] * WORDS))
    memory.look_out(5)
    for _ in range(3):
        memory.run(START, 8 * WORDS)

    assert len(memory.sighted()) == 10
