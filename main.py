"""The function's source root: the buildpack wants the entry point in ``main.py``, the code is in ``mirror_function``."""

from mirror_function.handler import mirror_object

__all__ = ["mirror_object"]
