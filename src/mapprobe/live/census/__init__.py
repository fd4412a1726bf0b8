"""Every map of a running process, found in its memory: without a probe, a stop or debug information.

The runtime's own tables list every span of the heap and say which of its
objects are allocated. Each object of the size of a map's header is checked:
its words must be possible in a header, the memory that it points to must be
buckets, and the buckets must hold as many entries as the header says. Other
objects practically never pass all of these checks. ::

    candidates  objects that may be a map's header
    locals      headers on goroutines' stacks
    layouts     bucket sizes and map types of the binary, as the allocator sees them
    arrays      arrays of buckets: their place in an object, the bucket sizes that fit
    swiss       directories, tables and groups: read and counted
    classic     bucket arrays and overflow chains: read and counted
    overflow    bytes of overflow buckets, including those that a growing map keeps
    holders     a map's type, from the object that refers to the map
    map_types   the types that a map may have, and how sure they are
    sync_maps   sync.Maps, which have no Go map inside
    census      find, count, and read again the maps that were written during the read
    reader      a whole census of one process
"""
