"""Reads a Go binary; needs no process, no kernel, no symbol table and no DWARF.

`binary` opens the ELF and finds the runtime's own tables, `pclntab` turns
addresses into functions and call chains, `types` reads map types, `points`
finds where to probe, and `facts` holds what differs between releases.
"""
