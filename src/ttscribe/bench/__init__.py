"""Speed and memory of a model on a device, beside other programs that run Whisper: ``ttscribe bench``.

``run`` measures, ``results`` is what was measured as data, ``figures`` and ``tables`` show it. ``peers`` holds the
scripts that run in the peers' own environment, where ttscribe is not installed.
"""
