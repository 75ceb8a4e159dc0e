"""The functions' source root: the buildpack wants the entry points in ``main.py``, the code is in ``mirror_function``."""

from mirror_function.handler import mirror_object
from mirror_function.status import status_page

__all__ = ["mirror_object", "status_page"]
