"""What is known of a model on a board: made once, kept as data (``schema``), shown by one renderer (``pages``)."""
