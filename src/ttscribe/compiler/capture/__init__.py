"""Capture: two doors, ``torch.export`` and ``torch.compile``, into one kind of graph."""
