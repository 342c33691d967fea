"""Reports: what a program would cost on a board, and what keeps it from the board's limits."""
