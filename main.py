"""The functions' source root: the buildpack wants the entry points in ``main.py``, the code is in ``mirror_function``."""

import functions_framework

from mirror_function.handler import answer_unreadable, mirror_object
from mirror_function.status import status_page

__all__ = ["mirror_object", "status_page"]

# The framework gives the handler to the application that loads this file. A plain import of this file gives it to none.
functions_framework.errorhandler(Exception)(answer_unreadable)
