"""The page at /: three files as they are, which ask no other host for anything."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import Response

_FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_page(app: FastAPI) -> None:
    """Serve the page's files."""
    for path, (name, media_type) in _FILES.items():
        content = files(__name__).joinpath(name).read_text(encoding="utf-8")
        _add(app, f"/{path}", content, media_type)


def _add(app: FastAPI, path: str, content: str, media_type: str) -> None:
    @app.get(path, include_in_schema=False)
    async def page() -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)
