"""The table of accounts and rights in ``docs/deploy.md``."""

from collections.abc import Iterator

from backfill_job.rights import Area, Part, location_of
from deploy.project import PROJECT_ROLES, bindings
from deploy.values import Values

__all__ = ["table"]


def table(values: Values) -> Iterator[str]:
    """The lines of the table, in Markdown."""
    held = [*bindings(values)]
    yield "| account | where | may |"
    yield "|---|---|---|"
    for part in Part:
        for area in Area:
            may = sorted(
                {
                    name.removeprefix("storage.")
                    for who, where, role, _ in held
                    if (who, where) == (part, area)
                    for name in role.permissions
                }
            )
            if may:
                at = location_of(area, values.migration).uri
                yield f"| `{values.name(part.value)}` | {area.value}, `{at}` | {', '.join(may)} |"
    for name, roles in PROJECT_ROLES.items():
        yield f"| `{values.name(name)}` | the project | {', '.join(f'`{role}`' for role in roles)} |"
