"""An HTTP server that answers as OpenAI's transcription API does; it needs the extra ``server``."""

from ttscribe.server.app import create_app
from ttscribe.server.settings import Limits, ServerSettings

__all__ = ["Limits", "ServerSettings", "create_app"]
