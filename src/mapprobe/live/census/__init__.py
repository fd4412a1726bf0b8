"""Every map of a running process, found in its heap from outside: no probe, no stop, no debug information.

The runtime's own tables name every span of the heap and which of its objects
are allocated. Objects of the size of a map's header are held to what a header
may hold, and what they point to is held to what a map's buckets must be: that
the counts agree leaves no room for lookalikes. ::

    candidates  objects that may be a map's header
    locals      headers on goroutines' stacks
    layouts     bucket sizes and map types of the binary, as the allocator sees them
    arrays      how arrays of buckets lie in their objects
    swiss       directories, tables and groups of headers, counted whole
    classic     bucket arrays and overflow chains, counted whole
    overflow    bytes of overflow buckets, with those that a growing map keeps
    holders     a map's type by what holds the map
    map_types   which types a map may be of, and how sure that is
    sync_maps   sync.Maps, which are no maps inside
    census      find, count, read again what was written meanwhile
    reader      a whole census of one process
"""
