"""The silent failure, seen in the data: objects beside the destination prefix under a name that differs only by case.

Somebody who writes to the new bucket under the old prefix's case writes where no reader looks; and Cloud Storage, to which
both are just names, does not mind.
"""

from shared.gcs.api import AsyncApi
from shared.gcs.listing import discover
from shared.migration import Location

__all__ = ["case_siblings"]


async def case_siblings(api: AsyncApi, location: Location) -> tuple[Location, ...]:
    """Find prefixes that are a location's but for the case of its last part.

    Args:
        api: Whom to ask.
        location: A prefix; not a whole bucket.

    Returns:
        Them, in order.

    Raises:
        StorageError: It is not known: the prefix's parent may not be listed, say.
    """
    parent, _, last = location.prefix.rstrip("/").rpartition("/")
    above = Location(location.bucket, f"{parent}/" if parent else "")
    found = await discover(api, above)
    return tuple(
        Location(location.bucket, above.prefix + name)
        for name in found
        if name != f"{last}/" and name.casefold() == f"{last}/".casefold()
    )
