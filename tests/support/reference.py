"""Go's two maps once more, slow and obvious: the reference for the core and its oracle.

Written from the Go sources (runtime/map.go of 1.23; internal/runtime/maps/map.go, table.go and
runtime.go of 1.24 to 1.27), in their order and with their names. A key is a pair of hash and type word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Key = tuple[int, int]

EMPTY_REST, EMPTY_ONE, EVACUATED, MIN_TOP_HASH = 0, 1, 4, 5
CTRL_EMPTY, CTRL_DELETED = 0x80, 0xFE
MAX_TABLE_CAPACITY = 1024


@dataclass(eq=False)
class Bucket:
    """Eight slots, and who did what to them."""

    control: list[int]
    grown_by: int
    kind: str = "main"
    keys: list[Key | None] = field(default_factory=lambda: [None] * 8)
    inserted_by: list[int | None] = field(default_factory=lambda: [None] * 8)
    deleted_by: list[int | None] = field(default_factory=lambda: [None] * 8)
    last_insert: int | None = None
    last_delete: int | None = None
    overflow: Bucket | None = None

    def put(self, slot: int, byte: int, key: Key, stack: int) -> None:
        self.control[slot] = byte
        self.keys[slot] = key
        self.inserted_by[slot] = self.last_insert = stack

    def remove(self, slot: int, byte: int, stack: int) -> None:
        self.control[slot] = byte
        self.keys[slot] = None
        self.deleted_by[slot] = self.last_delete = stack

    def chain(self) -> list[Bucket]:
        chain = [self]
        while chain[-1].overflow is not None:
            chain.append(chain[-1].overflow)
        return chain


class ClassicMap:
    """hmap."""

    def __init__(self, release: tuple[int, int], hint: int, preallocated: dict[int, int], stack: int) -> None:
        self.load_factor_num = 12 if release == (1, 21) else 13
        self.preallocated = preallocated  # how many overflow buckets an array for each B has
        self.creator = stack
        self.count = self.noverflow = self.nevacuate = self.next_overflow = 0
        self.buckets: list[Bucket] | None = None
        self.oldbuckets: list[Bucket] | None = None
        self.same_size_grow = False
        self.B = 0
        while self.over_load_factor(hint, self.B):
            self.B += 1
        if self.B > 0:
            self.buckets = self.make_bucket_array(self.B, stack)

    def over_load_factor(self, count: int, B: int) -> bool:  # noqa: N803 - as in the runtime
        return count > 8 and count > self.load_factor_num * (2**B // 2)

    def make_bucket_array(self, B: int, stack: int) -> list[Bucket]:  # noqa: N803 - as in the runtime
        self.next_overflow = self.preallocated.get(B, 0)
        return [Bucket([EMPTY_REST] * 8, stack) for _ in range(2**B)]

    def new_overflow(self, tail: Bucket, stack: int) -> Bucket:
        if self.next_overflow > 0:
            self.next_overflow -= 1
            tail.overflow = Bucket([EMPTY_REST] * 8, stack, "preallocated")
        else:
            tail.overflow = Bucket([EMPTY_REST] * 8, stack, "heap")
        self.noverflow += 1
        return tail.overflow

    def hash_grow(self, stack: int) -> None:
        bigger = 1 if self.over_load_factor(self.count + 1, self.B) else 0
        self.same_size_grow = not bigger
        self.oldbuckets = self.buckets
        self.B += bigger
        self.buckets = self.make_bucket_array(self.B, stack)
        self.nevacuate = self.noverflow = 0

    def grow_work(self, bucket: int, stack: int) -> None:
        self.evacuate(bucket % len(self.oldbuckets), stack)
        if self.oldbuckets is not None:
            self.evacuate(self.nevacuate, stack)

    def evacuate(self, oldbucket: int, stack: int) -> None:
        newbit = len(self.oldbuckets)
        if self.oldbuckets[oldbucket].control[0] != EVACUATED:
            destination = {0: self.buckets[oldbucket]}
            if not self.same_size_grow:
                destination[1] = self.buckets[oldbucket + newbit]
            filled = {0: 0, 1: 0}
            for b in self.oldbuckets[oldbucket].chain():
                for i in range(8):
                    if b.control[i] >= MIN_TOP_HASH:
                        use_y = 1 if not self.same_size_grow and b.keys[i][0] & newbit else 0
                        if filled[use_y] == 8:
                            destination[use_y] = self.new_overflow(destination[use_y], stack)
                            filled[use_y] = 0
                        destination[use_y].put(filled[use_y], b.control[i], b.keys[i], b.inserted_by[i])
                        filled[use_y] += 1
                    b.control[i] = EVACUATED
            self.oldbuckets[oldbucket].overflow = None
        if oldbucket == self.nevacuate:
            self.nevacuate += 1
            stop = min(self.nevacuate + 1024, newbit)
            while self.nevacuate != stop and self.oldbuckets[self.nevacuate].control[0] == EVACUATED:
                self.nevacuate += 1
            if self.nevacuate == newbit:
                self.oldbuckets = None
                self.same_size_grow = False

    def insert(self, key: Key, stack: int) -> tuple[bool, int]:
        """Return whether the key was not there, and how many growths that started."""
        if self.buckets is None:
            self.buckets = [Bucket([EMPTY_REST] * 8, self.creator)]
        growths = 0
        while True:
            bucket = key[0] % 2**self.B
            if self.oldbuckets is not None:
                self.grow_work(bucket, stack)
            chain = self.buckets[bucket].chain()
            if any(key in b.keys for b in chain):
                return False, growths
            if self.oldbuckets is None and (
                self.over_load_factor(self.count + 1, self.B) or self.noverflow >= 2 ** min(self.B, 15)
            ):
                self.hash_grow(stack)
                growths += 1
                continue
            break
        empty = [(b, i) for b in chain for i in range(8) if b.control[i] <= EMPTY_ONE]
        b, i = empty[0] if empty else (self.new_overflow(chain[-1], stack), 0)
        top = key[0] >> 56
        b.put(i, top + MIN_TOP_HASH if top < MIN_TOP_HASH else top, key, stack)
        self.count += 1
        return True, growths

    def delete(self, key: Key, stack: int) -> int | None:
        """Return who inserted the key, None when it was not there."""
        if self.count == 0:
            return None
        bucket = key[0] % 2**self.B
        if self.oldbuckets is not None:
            self.grow_work(bucket, stack)
        chain = self.buckets[bucket].chain()
        slots = [(b, i) for b in chain for i in range(8)]
        for at, (b, i) in enumerate(slots):
            if b.keys[i] == key:
                b.remove(i, EMPTY_ONE, stack)
                if all(c.control[j] == EMPTY_REST for c, j in slots[at + 1 : at + 2]):
                    while at >= 0 and slots[at][0].control[slots[at][1]] == EMPTY_ONE:
                        slots[at][0].control[slots[at][1]] = EMPTY_REST
                        at -= 1
                self.count -= 1
                return b.inserted_by[i]
        return None

    def clear(self, stack: int) -> None:
        if self.count == 0:
            return
        self.oldbuckets = None
        self.same_size_grow = False
        self.nevacuate = self.noverflow = self.count = 0
        self.next_overflow = self.preallocated.get(self.B, 0)
        for b in self.buckets:
            for i in range(8):
                if b.control[i] >= MIN_TOP_HASH:
                    b.remove(i, EMPTY_REST, stack)
                b.control[i] = EMPTY_REST
            b.overflow = None

    def listed(self) -> list[tuple[Bucket, int]]:
        """Return buckets and parts in the model's order."""
        waiting = [b for b in self.oldbuckets or [] if b.control[0] != EVACUATED]
        new = [(b, min(n, 1)) for main in self.buckets or [] for n, b in enumerate(main.chain())]
        return new + [(b, 2 + min(n, 1)) for old in waiting for n, b in enumerate(old.chain())]

    def homes(self) -> Iterator[int]:
        """Yield the number of each chain that is listed."""
        yield from range(len(self.buckets or []))
        yield from (n for n, b in enumerate(self.oldbuckets or []) if b.control[0] != EVACUATED)


class Table:
    """One table of a Swiss map."""

    def __init__(self, capacity: int, index: int, local_depth: int, stack: int) -> None:
        self.capacity = 8
        while self.capacity < capacity:
            self.capacity *= 2
        self.index, self.local_depth, self.used = index, local_depth, 0
        self.groups = [Bucket([CTRL_EMPTY] * 8, stack) for _ in range(self.capacity // 8)]
        self.growth_left = self.max_growth_left()

    def max_growth_left(self) -> int:
        return self.capacity - 1 if self.capacity <= 8 else self.capacity * 7 // 8

    def probe(self, key: Key) -> list[int]:
        """Return all groups in the order in which this key visits them."""
        offset, sequence = (key[0] >> 7) % len(self.groups), []
        for step in range(len(self.groups)):
            offset = (offset + step) % len(self.groups)
            sequence.append(offset)
        return sequence

    def unchecked_put_slot(self, key: Key, stack: int) -> None:
        for n in self.probe(key):
            for i in range(8):
                if self.groups[n].control[i] >= CTRL_EMPTY:
                    self.groups[n].put(i, key[0] & 0x7F, key, stack)
                    self.growth_left -= 1
                    self.used += 1
                    return

    def entries(self) -> list[tuple[Key, int]]:
        """Return keys and who inserted them, in the order of the slots."""
        return [(g.keys[i], g.inserted_by[i]) for g in self.groups for i in range(8) if g.control[i] < CTRL_EMPTY]

    def prune_tombstones(self) -> None:
        tombstones = self.max_growth_left() - self.used - self.growth_left
        if tombstones * 10 < self.capacity:
            return
        needed = set()
        for home, g in enumerate(self.groups):
            for key in filter(None, g.keys):
                sequence = self.probe(key)
                passed = sequence[: sequence.index(home)]
                needed |= {n for n in passed if any(c >= CTRL_EMPTY for c in self.groups[n].control)}
            if CTRL_EMPTY in g.control:
                needed.add(home)
        prunable = [g for n, g in enumerate(self.groups) if n not in needed]
        if sum(g.control.count(CTRL_DELETED) for g in prunable) * 10 < self.capacity:
            return
        for g in prunable:
            self.growth_left += g.control.count(CTRL_DELETED)
            g.control = [CTRL_EMPTY if c == CTRL_DELETED else c for c in g.control]


class SwissMap:
    """Map."""

    def __init__(self, release: tuple[int, int], hint: int, stack: int) -> None:
        self.release = release
        self.creator = stack
        self.used = self.global_depth = 0
        self.tombstone_possible = False
        self.small: Bucket | None = None
        self.directory: list[Table] = []
        if hint > 8:
            target = hint * 8 // 7
            tables = 1
            while tables < -(-target // MAX_TABLE_CAPACITY):
                tables *= 2
            self.global_depth = tables.bit_length() - 1
            self.directory = [Table(target // tables, i, self.global_depth, stack) for i in range(tables)]

    def table_of(self, key: Key) -> Table:
        return self.directory[key[0] >> (64 - self.global_depth)]

    def insert(self, key: Key, stack: int, prunes: bool) -> tuple[bool, int]:
        """Return whether the key was not there, and how many growths that took."""
        growths = 0
        if not self.directory:
            if self.small is None:
                self.small = Bucket([CTRL_EMPTY] * 8, self.creator)
            if self.used < 8 or self.release >= (1, 27):
                if key in self.small.keys:
                    return False, 0
                if CTRL_EMPTY in self.small.control:
                    self.small.put(self.small.control.index(CTRL_EMPTY), key[0] & 0x7F, key, stack)
                    self.used += 1
                    return True, 0
            self.grow_to_table(stack)
            growths = 1
        while True:
            table = self.table_of(key)
            first_deleted = None
            for n in table.probe(key):
                group = table.groups[n]
                if key in group.keys:
                    return False, growths
                if CTRL_EMPTY in group.control:
                    slot = (group, group.control.index(CTRL_EMPTY))
                    break
                if first_deleted is None and CTRL_DELETED in group.control:
                    first_deleted = (group, group.control.index(CTRL_DELETED))
            if first_deleted is not None:
                slot = first_deleted
                table.growth_left += 1
            elif table.growth_left == 0 and prunes and self.release >= (1, 25):
                table.prune_tombstones()
            if table.growth_left > 0:
                slot[0].put(slot[1], key[0] & 0x7F, key, stack)
                table.growth_left -= 1
                table.used += 1
                self.used += 1
                return True, growths
            self.rehash(table, stack)
            growths += 1

    def grow_to_table(self, stack: int) -> None:
        table = Table(16, 0, 0, stack)
        for i in range(8):
            if self.small.keys[i] is not None:
                table.unchecked_put_slot(self.small.keys[i], self.small.inserted_by[i])
        self.small, self.directory = None, [table]

    def rehash(self, old: Table, stack: int) -> None:
        if 2 * old.capacity <= MAX_TABLE_CAPACITY:
            larger = Table(2 * old.capacity, old.index, old.local_depth, stack)
            for key, inserter in old.entries():
                larger.unchecked_put_slot(key, inserter)
            self.replace_table(larger)
            return
        depth = old.local_depth + 1
        left, right = (Table(MAX_TABLE_CAPACITY, -1, depth, stack) for _ in range(2))
        for key, inserter in old.entries():
            (right if key[0] >> (64 - depth) & 1 else left).unchecked_put_slot(key, inserter)
        if old.local_depth == self.global_depth:
            self.directory = [table for table in self.directory for _ in range(2)]
            self.global_depth += 1
            for table in set(self.directory):
                table.index = self.directory.index(table)
        left.index = old.index
        self.replace_table(left)
        right.index = left.index + 2 ** (self.global_depth - depth)
        self.replace_table(right)

    def replace_table(self, table: Table) -> None:
        entries = 2 ** (self.global_depth - table.local_depth)
        self.directory[table.index : table.index + entries] = [table] * entries

    def delete(self, key: Key, stack: int) -> int | None:
        """Return who inserted the key, None when it was not there."""
        table = self.table_of(key) if self.directory else None
        groups = [table.groups[n] for n in table.probe(key)] if table else [self.small] if self.small else []
        for group in groups:
            if key in group.keys:
                i = group.keys.index(key)
                self.used -= 1
                if table:
                    table.used -= 1
                if table and CTRL_EMPTY not in group.control:
                    group.remove(i, CTRL_DELETED, stack)
                    self.tombstone_possible = self.release >= (1, 25)
                else:
                    group.remove(i, CTRL_EMPTY, stack)
                    if table:
                        table.growth_left += 1
                return group.inserted_by[i]
            if CTRL_EMPTY in group.control:
                return None
        return None

    def clear(self, stack: int) -> None:
        if self.used == 0 and not self.tombstone_possible:
            return
        for group, _ in self.listed():
            for i in range(8):
                if group.control[i] < CTRL_EMPTY:
                    group.remove(i, CTRL_EMPTY, stack)
                group.control[i] = CTRL_EMPTY
        for table in self.directory:
            table.used, table.growth_left = 0, table.max_growth_left()
        self.used, self.tombstone_possible = 0, False

    def tables(self) -> list[Table]:
        """Return the distinct tables in the order of the directory."""
        return list(dict.fromkeys(self.directory))

    def listed(self) -> list[tuple[Bucket, int]]:
        """Return groups and parts in the model's order."""
        if not self.directory:
            return [(self.small, 0)] if self.small else []
        return [(group, n) for n, table in enumerate(self.tables()) for group in table.groups]

    def homes(self) -> Iterator[int]:
        """Yield of each group that is listed the first place of its table in the directory."""
        yield from (table.index for table in self.tables() for _ in table.groups) if self.directory else iter([0])
