"""Finds a silent failure in the data: objects beside the destination prefix, under a name that differs only by case.

A writer that uses the old prefix's case in the new bucket writes where no reader looks. To Cloud Storage both are valid
names, so nothing reports an error.
"""

from shared.gcs.api import AsyncApi
from shared.gcs.listing import top_level
from shared.migration import OWN_FOLDER, Location

__all__ = ["case_siblings"]


async def case_siblings(api: AsyncApi, location: Location) -> tuple[Location, ...]:
    """Find the prefixes that differ from a location only by the case of its last part, in order.

    Args:
        location: A prefix; not a whole bucket.

    Raises:
        StorageError: It is not known; for example, there is no permission to list the prefix's parent.
    """
    parent, _, last = location.prefix.rstrip("/").rpartition("/")
    above = Location(location.bucket, f"{parent}/" if parent else "")
    found, _ = await top_level(api, above)
    return tuple(
        Location(location.bucket, above.prefix + name)
        for name in found
        if name != f"{last}/"
        and name.casefold() == f"{last}/".casefold()
        and above.prefix + name != OWN_FOLDER  # migrations' own objects, not data
    )
