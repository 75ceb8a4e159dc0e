"""The functions' source root: the buildpack wants the entry points in ``main.py``, the code is in ``mirror_function``."""

import functions_framework

from mirror_function.handler import mirror_object
from mirror_function.status import status_page
from mirror_function.unreadable import answer_unreadable

__all__ = ["mirror_object", "status_page"]

# Taken by the application that is loading this file, and by none where it is imported otherwise.
functions_framework.errorhandler(Exception)(answer_unreadable)
