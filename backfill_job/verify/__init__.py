"""The commands ``verify`` and ``certify``: both paths compared name by name, and what they hold certified.

- `command`, `certify`: the two commands.
- `compare`: both sides compared, and a second look at every name that differs.
- `day_counts`, `lag`: both sides of every day counted, with a digest each; how far the mirror is behind. Mergeable.
- `result`: what one task or all tasks compared, and the verification that it makes.
- `day_warnings`: what a person should know about the days. Pure.
- `certificate`: what both sides held, in a form that a second person can recompute.
- `case_siblings`: the destination's name in another case.

The verification itself is `shared.verification.Verification`.
"""
