"""The documents are tested as they are served."""

from tests.web.conftest import serve

__all__ = ["serve"]
