"""Where what is outside of the repository is."""

from pathlib import Path

# The project's reference clips.
SPEECH = Path(__file__).resolve().parents[2] / "shared" / "speech"
# Recorded values of TT-NN's own kernels.
SIMULATED = SPEECH.with_name("simulated")
