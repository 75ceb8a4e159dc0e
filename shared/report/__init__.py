"""The report page and the status page: a verification and the migration's state as HTML.

They take `shared.verification.Verification` and `shared.state.State`, which `loading` reads from Cloud Storage.

- `headline`: the verdict in one line, never better than the evidence. Pure.
- `charts`: where everything is in the drawings. Pure.
- `wording`: the words for verdicts, states, levels and phases; names from a bucket, made printable and unmistakable.
- `page`: rendering: values in, one self-contained HTML text out.
- `loading`: the state and the latest verification; what cannot be read is said.
- `web`: the status page as a Flask application, for the function and for a laptop.
- `next_steps`: what to do next: one function for every page and screen, from the phase, the latest verification and the state. Pure.
"""
