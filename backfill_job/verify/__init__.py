"""What the commands ``verify`` and ``certify`` make of both paths; the deletion counts and certifies with it, too.

- `day_counts`: both sides of every day counted, with a digest each, and how far the mirror is behind. Mergeable.
- `result`: what one task or all tasks compared, and the verification that it makes.
- `day_warnings`: what a person should know about the days. Pure.
- `case_siblings`: prefixes that differ from the destination by case, where no reader looks.
- `certificate`: what both sides held, in a form that a second person can recompute.
- `green_day`: judges a day after the cutover, as a verification found it. Pure.
- `recording`: puts a verification on record, with its day, its certificate and its file.
- `late_writes`: writes on the legacy path after the cutover, seen in the data: somebody has not switched. Mergeable.
"""
