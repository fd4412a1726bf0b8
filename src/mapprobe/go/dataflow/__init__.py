"""What registers and stack slots hold, instruction by instruction, in one function of a binary."""
