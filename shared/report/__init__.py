"""The report page and the status page: a verification and the migration's state as HTML.

``reading`` makes values of the two JSON files, ``headline``, ``advice``, ``heat_map``, ``volume`` and ``lag_chart`` say what
follows from them, ``page`` renders; ``loading`` and ``web`` bring the files from Cloud Storage to a browser.
"""

from shared.report.advice import Target
from shared.report.page import Unreadable, render_report, render_status

__all__ = ["Target", "Unreadable", "render_report", "render_status"]
