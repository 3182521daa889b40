"""fsynth: teach a text-to-image model fashion.

``fsynth.load_dataset(...)`` opens the data; each command is ``fsynth.commands.<name>.main(config)``.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__", "load_dataset"]

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from fsynth.data.sources import load_dataset


def __getattr__(name: str) -> object:
    """Names of the package are imported when they are first used (PEP 562)."""
    if name == "load_dataset":
        from fsynth.data.sources import load_dataset

        return load_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
