"""Compare speaker-verification backends on frozen encoders, from one cache.

What a person imports is ``embed_files`` and ``verify_files``: a trained run applied to
audio files.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unipool.applying import embed_files, verify_files

__all__ = ["embed_files", "verify_files"]


def __getattr__(name: str) -> Any:
    """Import these only when they are asked for: torch with them takes seconds."""
    if name in __all__:
        import unipool.applying

        return getattr(unipool.applying, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
