"""The objects of ``smoke --wire``, and what is asked of them.

Each probe gives the answer to one row of `RELIANCES`. It says what the client made of the answer; the statuses come from the
exchanges. A probe that needs an object which could not be made says so, and the others go on. Apart from `trial`, because nothing
here knows which answer is expected.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from backfill_job.smoke.clients import Client, FastClient, GoogleClient, Written
from shared.decision import ABSENT
from shared.errors import UnexpectedAnswer
from shared.migration import MAX_NAME_BYTES, Location
from shared.objects import Metadata, ObjectRef, ObjectState, is_later, last_write, same

__all__ = ["ODD_NAMES", "Asked", "Bench"]

CHUNK = 4 * 1024 * 1024
TIMES = 17
"""So often is one chunk composed: 68 MiB, of which 4 are uploaded."""

PIECES = 8 * 1024 * 1024 + 1
"""Bytes of an upload that takes two requests."""

PAGE = 7
IN_A_BATCH = ("a", "b%2F", "stale", "d+ é")
UNKNOWN = 1
"""A generation that no object has."""

ODD_NAMES = (
    *("a b", "ünï/日本/ключ", "e\u0301 and é", "emoji-😀", "has#hash", "q?mark&x=1"),
    *("pct%20lit", "100%", "%2Fx"),
    *("dbl//slash", "trail/", "plus+plus", "semi;colon:at@", "quote'\"dq", "back\\slash", "bracket[1]*"),
    *("x/o/y", "dot/../b", "tilde~"),
)
"""Each is a name that a client or a proxy could write in another way."""

DESCRIBED = Metadata(
    content_type="application/json",
    content_disposition='attachment; filename="x.jsonl"',
    content_language="de",
    cache_control="no-store",
    custom_time="2024-01-02T03:04:05.678901Z",
    custom={"Mixed-Key": "value", "ключ": "значение é"},
)
PLAIN = Written(b"{}\n", {})
SPECIAL = {
    "empty": Written(b"", {}),
    "gzip": Written(gzip.compress(b'{"user_id": "1"}\n' * 50, mtime=0), {"contentEncoding": "gzip"}),
    "described": Written(
        b"{}\n",
        {
            "contentDisposition": DESCRIBED.content_disposition,
            "contentLanguage": DESCRIBED.content_language,
            "cacheControl": DESCRIBED.cache_control,
            "customTime": DESCRIBED.custom_time,
            "metadata": DESCRIBED.custom,
        },
    ),
    "contexts": Written(b"{}\n", {"contexts": {"custom": {"team": {"value": "QPI"}}}}),
}
"""Objects with something that a copy must carry, by the row that looks at them."""

EXPECTED = {
    "empty": Metadata(content_type="application/json"),
    "gzip": Metadata(content_type="application/json", content_encoding="gzip"),
    "described": DESCRIBED,
    "contexts": Metadata(content_type="application/json", contexts={"team": "QPI"}),
}


_Number = Callable[[], int]


def _nothing() -> None:
    return


class Asked(NamedTuple):
    """A question: the row, the client's name, what asks it and says what came of it, and what must be there before."""

    key: str
    client: str
    work: Callable[[], str]
    prepare: Callable[[], None] = _nothing


@dataclass
class Bench:
    """The scratch folder, both clients, and the objects that were made so far.

    Attributes:
        soft_delete: Whether the bucket soft-deletes what is overwritten or deleted; nothing is asked of it otherwise.
        versioned: Whether it keeps that as noncurrent versions, which can still be read.
    """

    folder: Location
    google: GoogleClient
    fast: FastClient
    soft_delete: bool
    versioned: bool = False
    made: dict[str, ObjectState] = field(default_factory=dict)

    def questions(self) -> Iterator[Asked]:
        """Every question, in the order in which they must be asked."""
        yield from self._written()
        for client in (self.fast, self.google):
            yield from self._names(client)
            yield from self._rewrites(client)
            yield from self._batch(client)
            yield from self._reads(client)
            if self.soft_delete and not self.versioned:
                yield from self._soft_delete(client)
        yield from self._patch()
        yield from self._uploads()

    # -------------------------------------------------------------------- helpers

    def at(self, relative: str) -> ObjectRef:
        """An object of the folder."""
        return ObjectRef(self.folder.bucket, self.folder.prefix + relative)

    @property
    def odd_names(self) -> tuple[str, ...]:
        """Odd names, the longest that is possible included."""
        return (*ODD_NAMES, "L" * (MAX_NAME_BYTES - len(f"{self.folder.prefix}odd/".encode())))

    def state(self, relative: str) -> ObjectState:
        """An object that a probe before has made.

        Raises:
            UnexpectedAnswer: It could not be made.
        """
        if relative not in self.made:
            raise UnexpectedAnswer(self.at(relative).uri, "it could not be made, so this was not asked")
        return self.made[relative]

    def _ensure(self, relative: str, written: Written = PLAIN) -> ObjectState:
        """Write an object through Google's client; one that is replaced belongs to the test."""
        self.made[relative] = self.google.write(self.at(relative), written)
        return self.made[relative]

    def _replace(self, relative: str, source: str) -> ObjectState:
        self.made[relative] = self.google.copy(
            self.at(source),
            self.at(relative),
            if_source=self.state(source).generation,
            if_destination=self.state(relative).generation,
        )
        return self.made[relative]

    # -------------------------------------------------------------------- objects

    def _written(self) -> Iterator[Asked]:
        name = self.google.name
        for key, written in SPECIAL.items():
            prepare = self._write_batches if key == "described" else _nothing
            yield Asked(key, name, partial(self._write_special, key, written), prepare)
        yield Asked("composite", name, partial(self._compose, "composite", ("empty", "described")))
        yield Asked("large", name, partial(self._compose, "large", ("chunk",) * TIMES), self._chunk)

    def _write_special(self, key: str, written: Written) -> str:
        self._ensure(key, written)
        found = self.fast.look(self.at(key))
        wanted = (len(written.data), EXPECTED[key], True, True)
        seen = found and (found.size, found.metadata, bool(found.crc32c), bool(found.md5))
        return "as written" if seen == wanted else "another size, checksum or metadata"

    def _chunk(self) -> None:
        self._ensure("chunk", Written(bytes(range(256)) * (CHUNK // 256), {}))

    def _compose(self, relative: str, parts: Sequence[str]) -> str:
        self.google.compose(self.at(relative), [self.at(part) for part in parts])
        found = self.fast.look(self.at(relative))
        if found is None or found.size != sum(self.state(part).size for part in parts):
            return "another size"
        self.made[relative] = found
        return f"{'crc32c' if found.crc32c else 'no crc32c'}, {'md5' if found.md5 else 'no md5'}"

    # -------------------------------------------------------------------- names

    def _names(self, client: Client) -> Iterator[Asked]:
        yield Asked("every-name", client.name, lambda: self._every_name(client), self._write_odd)
        yield Asked("bounds", client.name, lambda: self._bounds(client))
        yield Asked("look-each", client.name, lambda: self._look_each(client))
        yield Asked("absent", client.name, lambda: _seen(client.look(self.at("odd/not there"))))
        # Nothing of the bucket's name, which is left out of ``wire.json``.
        nowhere = ObjectRef(f"qpi-exports-smoke-{self.folder.prefix.split('/')[-2]}", "x")
        yield Asked("no-bucket", client.name, lambda: _seen(client.look(nowhere)))

    def _odd(self) -> Location:
        return Location(self.folder.bucket, f"{self.folder.prefix}odd/")

    def _write_odd(self) -> None:
        for name in self.odd_names:
            if f"odd/{name}" not in self.made:
                self._ensure(f"odd/{name}")

    def _wanted(self) -> list[str]:
        return sorted((self.at(f"odd/{name}").name for name in self.odd_names), key=str.encode)

    def _every_name(self, client: Client) -> str:
        pages = client.pages(self._odd(), PAGE)
        if _names_in(pages) != self._wanted():
            return "others, or in another order"
        return "all, in order, over several pages" if len(pages) > 1 else "all, in one page"

    def _bounds(self, client: Client) -> str:
        wanted = self._wanted()
        names = _names_in(client.pages(self._odd(), PAGE, start=wanted[3], end=wanted[-3]))
        return "from the start on, before the end" if names == wanted[3:-3] else "other names"

    def _look_each(self, client: Client) -> str:
        listed = [state for page in client.pages(self._odd(), PAGE) for state in page]
        alone = [client.look(ObjectRef(self.folder.bucket, state.name)) for state in listed]
        return "each as listed" if listed == alone else "not as listed"

    # -------------------------------------------------------------------- rewrites

    def _rewrites(self, client: Client) -> Iterator[Asked]:
        to = f"copies of {client.name[0]}/"
        odd = (self.odd_names[-1], *ODD_NAMES[:6])
        copied = ("described", "empty", "gzip", "composite", *(f"odd/{name}" for name in odd))
        right, stale = partial(self._generation, "described"), lambda: UNKNOWN
        copy = partial(self._copied, client, "described", f"{to}described")
        there = partial(self._generation, f"{to}described")
        for key, names in (("new", copied), ("contexts", ("contexts",)), ("large", ("large",))):
            yield Asked(f"rewrite-{key}", client.name, partial(self._all_copied, client, names, to))
        yield Asked("rewrite-times", client.name, partial(self._times, f"{to}described"))
        yield Asked("rewrite-there", client.name, partial(copy, right, lambda: ABSENT))
        yield Asked("rewrite-destination", client.name, partial(copy, right, stale))
        yield Asked("rewrite-source", client.name, partial(copy, stale, there))
        yield Asked("rewrite-over", client.name, partial(copy, right, there))
        absent = partial(self._copied, client, "odd/not there", f"{to}nothing")
        yield Asked("rewrite-absent", client.name, partial(absent, stale, lambda: ABSENT))

    def _generation(self, relative: str) -> int:
        return self.state(relative).generation

    def _all_copied(self, client: Client, names: Sequence[str], to: str) -> str:
        for number, name in enumerate(names):
            # A copy of the longest name has a shorter one.
            target = to + (name if name in SPECIAL else str(number))
            source = self.state(name)
            made = client.copy(
                self.at(name), self.at(target), if_source=source.generation, if_destination=ABSENT
            )
            self.made[target] = made
            if not same(source, made):
                return f"another: {name[:20]}"
        return "the same"

    def _copied(
        self, client: Client, source: str, target: str, if_source: _Number, if_destination: _Number
    ) -> str:
        before = if_destination()
        made = client.copy(self.at(source), self.at(target), if_source=if_source(), if_destination=before)
        self.made[target] = made
        if not same(self.state(source), made):
            return "another"
        return "the same, another generation" if made.generation != before else "the same generation"

    def _times(self, target: str) -> str:
        source, made = self.state("described"), self.state(target)
        older = is_later(source.created, made.created)
        return (
            f"created {'before' if older else 'not before'} its source, "
            f"updated {'then' if made.updated == made.created else 'at another time'}, metageneration {made.metageneration}"
        )

    # -------------------------------------------------------------------- batch

    def _write_batches(self) -> None:
        """Long before they are deleted: a second write to a name within a second is refused, and a batch is sent once."""
        for client in (self.fast, self.google):
            for name in IN_A_BATCH:
                self._ensure(f"batch of {client.name[0]}/{name}")

    def _batch(self, client: Client) -> Iterator[Asked]:
        inner = f"batch of {client.name[0]}/"
        folder = Location(self.folder.bucket, self.folder.prefix + inner)

        def delete() -> str:
            deletions = [
                (name, UNKNOWN if name == "stale" else self._generation(inner + name)) for name in IN_A_BATCH
            ]
            client.delete_batch(folder, [*deletions, ("not there", UNKNOWN)])
            return ""

        def effect() -> str:
            left = _names_in(client.pages(folder, PAGE))
            stale = [f"{folder.prefix}stale"]
            return "only the stale one is left" if left == stale else f"{len(left)} are left"

        yield Asked("batch", client.name, delete)
        yield Asked("batch-effect", client.name, effect)

    # -------------------------------------------------------------------- soft delete

    def _soft_delete(self, client: Client) -> Iterator[Asked]:
        name = f"deleted for {client.name[0]}"
        at = self.at(name)

        def overwrite() -> None:
            self._ensure(name)
            self.made[f"{name}: overwritten"] = self.state(name)
            self._replace(name, "described")

        def delete() -> None:
            self.google.gateway.delete(at, if_generation=self._generation(name))

        def listed(which: str) -> str:
            found = {state.generation: until for state, until in client.soft_deleted(at)}
            until = found.get(self._generation(which))
            held = f"the generation, held until {'a time' if until else '?'}"
            return "not the generation" if until is None else held

        yield Asked("soft-overwritten", client.name, lambda: listed(f"{name}: overwritten"), overwrite)

        def restore(generation: int) -> str:
            client.restore(at, generation)
            return "restored"

        yield Asked("restore-live", client.name, lambda: restore(self._generation(f"{name}: overwritten")))
        yield Asked("soft-deleted", client.name, lambda: listed(name), delete)
        if isinstance(client, FastClient):
            yield Asked("ended", client.name, lambda: self._ended(client, name))
        yield Asked("restore-unknown", client.name, lambda: restore(UNKNOWN))
        yield Asked("restore", client.name, lambda: self._restored(client, name))

    def _ended(self, client: FastClient, name: str) -> str:
        found = {state.generation: (state, ended) for state, ended in client.ended(self.at(name))}
        state, ended = found.get(self._generation(name), (None, ""))
        if state is None:
            return "not the generation"
        self.made[f"{name}: ended"] = state._replace(updated=ended)
        return f"ended {'before' if is_later(state.created, ended) else 'after'} its creation"

    def _restored(self, client: Client, name: str) -> str:
        lost = self.state(name)
        restored = self.made[name] = client.restore(self.at(name), lost.generation)
        contents = "the same" if same(lost, restored) else "another"
        generation = "the same" if restored.generation == lost.generation else "another"
        ended = self.made.get(f"{name}: ended", lost).updated
        when = "before" if is_later(ended, restored.created) else "after"
        return f"{contents}, {generation} generation, created {when} the deletion"

    # -------------------------------------------------------------------- reads

    def _reads(self, client: Client) -> Iterator[Asked]:
        packed = SPECIAL["gzip"].data
        name = f"overwritten for {client.name[0]}"

        def read(relative: str, wanted: bytes, first: int, *, whole: bool = False) -> str:
            at, generation = self.at(relative), self._generation(relative)
            return _bytes(client.read_range(at, generation, first, len(wanted), whole=whole), wanted)

        def overwrite() -> None:
            self.made["gone"] = self._ensure(name)
            self._replace(name, "described")

        def gone() -> str:
            return _bytes(client.read_range(self.at(name), self._generation("gone"), 0, 1), b"{")

        yield Asked("range", client.name, lambda: read("large", bytes(range(256)) * 4, 10 * CHUNK + 256))
        yield Asked("range-gzip", client.name, lambda: read("gzip", packed[3:20], 3))
        yield Asked("whole-gzip", client.name, lambda: read("gzip", packed, 0, whole=True))
        if not self.versioned:
            yield Asked("range-gone", client.name, gone, overwrite)

    # -------------------------------------------------------------------- writing

    def _patch(self) -> Iterator[Asked]:
        name = self.google.name
        copy = "a copy to patch"

        def prepare() -> None:
            self._ensure("patched")
            first = self._generation("patched")
            self.made[copy] = self.google.copy(
                self.at("patched"), self.at(copy), if_source=first, if_destination=ABSENT
            )

        def patch(metageneration: int) -> str:
            before = self.state("patched")
            after = self.google.patch(
                self.at("patched"), {"metadata": {"a": "b"}}, if_metageneration=metageneration
            )
            self.made["patched again"] = after
            moved = "later" if is_later(after.updated, before.updated) else "not later"
            stays = (before.created, before.generation) == (after.created, after.generation)
            others = "as before" if stays else "others"
            return f"updated {moved}; created, generation {others}; metageneration {after.metageneration}"

        def order() -> str:
            later, earlier = (last_write(self.state(one)) for one in ("patched again", copy))
            return f"the patched one is {'' if is_later(later.earliest, earlier.latest) else 'not '}later"

        yield Asked("patch", name, lambda: patch(1), prepare)
        yield Asked("patch-stale", name, lambda: patch(1))
        yield Asked("patch-order", name, order)

    def _uploads(self) -> Iterator[Asked]:
        name, at = self.google.name, self.at("in pieces")
        data = b"x" * PIECES

        def upload() -> str:
            self.google.upload(at, data)
            found = self.fast.look(at)
            return "whole" if found is not None and found.size == len(data) else "in part"

        def insert() -> str:
            self.google.write(self.at("described"), Written(b"", {}))
            return "replaced"

        yield Asked("resumable", name, upload)
        yield Asked("resumable-there", name, upload)
        yield Asked("insert-there", name, insert)


def _names_in(pages: Sequence[Sequence[ObjectState]]) -> list[str]:
    return [state.name for page in pages for state in page]


def _seen(state: ObjectState | None) -> str:
    return "absent" if state is None else "there"


def _bytes(found: bytes, wanted: bytes) -> str:
    return "the bytes" if found == wanted else f"{len(found):,} other bytes"
