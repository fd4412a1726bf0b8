"""What columns each table of a recording, of a census and of a result has."""
