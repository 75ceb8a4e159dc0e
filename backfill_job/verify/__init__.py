"""What the commands ``verify`` and ``certify`` make of both paths; the deletion counts and certifies with it, too.

- `day_counts`: both sides of every day counted, with a digest each, and how far the mirror is behind. Mergeable.
- `result`: what one task or all tasks compared, and the verification that it makes.
- `day_warnings`: what a person should know about the days. Pure.
- `case_siblings`: prefixes that differ from the destination by case, where no reader looks.
- `certificate`: what both sides held, in a form that a second person can recompute.
- `late_writes`: writes on the legacy path after the cutover, seen in the data: somebody has not switched. Mergeable.
"""
