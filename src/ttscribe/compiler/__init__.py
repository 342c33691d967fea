"""The compiler: from PyTorch to a TT-NN program, with a reason for everything that stays behind."""
