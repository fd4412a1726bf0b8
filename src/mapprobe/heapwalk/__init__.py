"""Every map of a running process, found in its heap from outside: no probe, no stop, no debug information.

The runtime's own tables name every span of the heap and which of its objects
are allocated. Objects of the size of a map's header are held to what a header
may hold, and what they point to to what a map's buckets must be: that counts
agree leaves no room for lookalikes. ::

    memory    words at many addresses, read in large runs, behind holes too
    spans     all spans in use, the object that an address is in, what is allocated
    headers   objects that may be a map's header
    layouts   bucket sizes and map types of the binary, by what the allocator makes of them
    swiss     directories, tables and groups of headers; counted whole
    classic   bucket arrays and overflow chains; counted whole
    naming    which types a map may be of
    origins   the stacks that allocated arrays, by the memory profile's samples
    references  which headers nothing in memory points to
    census    all of it, read again where it was written meanwhile
"""
