"""Which engine loads the rows: BigQuery as the DAG does, or DuckDB in this process. Only the chosen one is imported.

It is a module of its own because only here an import may fail: both engines are optional.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from backfill_job.consumer import Consumer
from backfill_job.import_test.day import Engine
from backfill_job.import_test.loaded import TableEngine
from backfill_job.run.clock import Clock
from backfill_job.run.command import ProcessIO
from backfill_job.run.stopping import Stop
from shared.errors import UsageError
from shared.gateway import Gateway

__all__ = ["READERS", "EngineOf", "bigquery_table", "chosen_engine", "duckdb_table"]

DUCKDB = ("duckdb", "DuckDB", "embedded")
BIGQUERY = ("google.cloud.bigquery", "google-cloud-bigquery", "bigquery")
"""Each engine's module, its package, and the extra of this project that installs it."""

READERS = 32
"""Objects that the embedded engine reads at once."""

EngineOf = Callable[[Gateway], AbstractContextManager[Engine]]
"""Makes the engine that reads through a gateway, for the length of a block."""


def chosen_engine(
    arguments: argparse.Namespace, io: ProcessIO, consumer: Consumer, *, name: str, clock: Clock, stop: Stop
) -> tuple[str, EngineOf]:
    """Choose the engine by ``--engine``, ``--dataset`` and ``--location``.

    Returns:
        The engine's name, and what makes it.

    Raises:
        UsageError: It is not installed, or the arguments do not fit it.
    """
    chosen = arguments.engine or ("duckdb" if arguments.dataset is None else "bigquery")
    if chosen == "duckdb":
        if arguments.dataset is not None or arguments.location is not None:
            raise UsageError("--dataset and --location are for --engine bigquery")
        with _optional(*DUCKDB):
            from backfill_job.import_test.duckdb import EmbeddedEngine  # noqa: PLC0415 -- optional, and heavy
        return chosen, lambda gateway: EmbeddedEngine(gateway, readers=READERS, stop=stop, consumer=consumer)
    if arguments.dataset is None:
        raise UsageError("--engine bigquery needs --dataset PROJECT.DATASET for its temporary tables")
    if not consumer.of_qpi:
        raise UsageError(
            f"--engine bigquery loads the rows of the preset; for {consumer.load.format.value} of {consumer.name}: --engine duckdb"
        )
    return chosen, _bigquery(arguments, io, name, clock, stop)


def _bigquery(arguments: argparse.Namespace, io: ProcessIO, name: str, clock: Clock, stop: Stop) -> EngineOf:
    with _optional(*BIGQUERY):
        from backfill_job.import_test.bigquery import BigQueryEngine, Dataset, connect  # noqa: PLC0415 -- optional, and heavy
    dataset = Dataset.parse(arguments.dataset)

    def note(text: str) -> None:
        print(f"import-test: {text}", file=io.stderr)

    @contextmanager
    def engine_of(_gateway: Gateway) -> Iterator[Engine]:
        with closing(connect(dataset, arguments.location, io.environ)) as client:
            yield BigQueryEngine(client, dataset, run=name, clock=clock, stop=stop, note=note)

    return engine_of


@contextmanager
def duckdb_table(
    gateway: Gateway, database: Path, table: str, consumer: Consumer, stop: Stop
) -> Iterator[TableEngine]:
    """The consumer's table in a DuckDB file.

    Raises:
        UsageError: DuckDB is not installed, or there is no such table.
    """
    with _optional(*DUCKDB):
        from backfill_job.import_test.duckdb import EmbeddedEngine  # noqa: PLC0415 -- optional, and heavy
        from backfill_job.import_test.table_duckdb import DuckDbTable  # noqa: PLC0415 -- as above
    with EmbeddedEngine(gateway, readers=READERS, stop=stop) as engine:
        yield DuckDbTable(engine, database, table, consumer, stop)


@contextmanager
def bigquery_table(
    arguments: argparse.Namespace, io: ProcessIO, table: str, *, run: str, stop: Stop
) -> Iterator[TableEngine]:
    """The consumer's table in BigQuery, by ``--location``, ``--partition`` and ``--maximum-bytes-billed``.

    Raises:
        UsageError: The client is not installed, has no credentials, or the name is not a table's.
    """
    with _optional(*BIGQUERY):
        from backfill_job.import_test.bigquery import TableName, connect  # noqa: PLC0415 -- optional, and heavy
        from backfill_job.import_test.table_bigquery import BigQueryTable  # noqa: PLC0415 -- as above
    name = TableName.parse(table)
    most, partition = arguments.maximum_bytes_billed, arguments.partition
    with closing(connect(name.dataset, arguments.location, io.environ)) as client:
        yield BigQueryTable(client, name, most=most, partition=partition, run=run, stop=stop)


@contextmanager
def _optional(module: str, package: str, extra: str) -> Iterator[None]:
    """Imports of a package that may not be installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        how = f"install it in the checkout with: pip install -e '.[job,{extra}]'"
        raise UsageError(f"{package} is not installed; {how}") from error
