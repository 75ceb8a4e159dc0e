"""The report page and the status page: a verification and the migration's state as HTML.

They take `shared.verification.Verification` and `shared.state.State`. ``headline`` and ``advice`` say what follows from them,
``charts`` lays out the drawings, and ``page`` renders. ``loading`` reads both from Cloud Storage, and ``web`` serves the status
page.
"""
