"""Tenstorrent cards, the simulator and mock boards, all through TT-NN."""
