"""The tables of a recording, of a census and of a result: columns, types, units and meanings."""
