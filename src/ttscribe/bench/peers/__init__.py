"""Scripts that run by themselves in the peers' own environment: nothing here imports ttscribe."""
