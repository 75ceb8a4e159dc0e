"""One fingerprint for a table's rows, whatever their order and whichever engine computes it.

Definition ``rows-1``. Each row is written as a text that no other row has:

- a text is its length in UTF-8 bytes, ``:``, and itself; NULL is ``-``;
- a row is ``user_id`` as a text, ``submitted_at`` in microseconds since 1970 (NULL: ``-``), ``;``, the number of answers, ``;``,
  and the answers in their order;
- an answer is ``question_id`` as a text, the number of its ``answer_ids``, ``;``, and these as texts, in their order.

The SHA-256 of that text is cut into eight numbers of 32 bits. Each of the eight is summed over all rows, modulo 2^32; the
fingerprint is the eight sums as 64 hexadecimal digits. Addition does not care for order, and unlike XOR it does not lose a
row that is there twice. Eight lanes, because sums of 32-bit numbers fit a 64-bit integer in either engine for two thousand
million rows, past which BigQuery fails loudly instead of overflowing.

The engines compute it in their own SQL below, so that a run against BigQuery and a local one can be compared. It is made
against mistakes, not against somebody who looks for collisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DEFINITION", "LANES", "Fingerprint", "bigquery_sql", "duckdb_sql"]

DEFINITION = "rows-1"
"""Named in every report: fingerprints of different definitions are never compared."""

LANES = 8
_DIGITS = 8
_MODULUS = 2**32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a table's rows.

    Attributes:
        digits: 64 hexadecimal digits.
        definition: How they were computed.
    """

    digits: str
    definition: str = DEFINITION

    @staticmethod
    def of_lanes(lanes: Sequence[int]) -> "Fingerprint":
        """Put the sums of an engine's lanes together.

        Args:
            lanes: The sum of each lane, reduced or not.
        """
        return Fingerprint("".join(f"{lane % _MODULUS:08x}" for lane in lanes))


def bigquery_sql(table: str) -> str:
    """The query that gives ``row_count``, ``users`` and ``lane_0`` to ``lane_7`` of a table in BigQuery.

    Args:
        table: ``PROJECT.DATASET.TABLE``, without a backquote in it.
    """
    lanes = ", ".join(
        f"IFNULL(MOD(SUM(CAST(CONCAT('0x', SUBSTR(digest, {1 + lane * _DIGITS}, {_DIGITS})) AS INT64)), {_MODULUS}), 0)"
        f" AS lane_{lane}"
        for lane in range(LANES)
    )
    return f"""
WITH digests AS (
  SELECT user_id, TO_HEX(SHA256(CONCAT(
    IFNULL(CONCAT(CAST(BYTE_LENGTH(user_id) AS STRING), ':', user_id), '-'),
    IFNULL(CAST(UNIX_MICROS(submitted_at) AS STRING), '-'), ';',
    CAST(ARRAY_LENGTH(answers) AS STRING), ';',
    ARRAY_TO_STRING(ARRAY(
      SELECT CONCAT(
        IFNULL(CONCAT(CAST(BYTE_LENGTH(answer.question_id) AS STRING), ':', answer.question_id), '-'),
        CAST(ARRAY_LENGTH(answer.answer_ids) AS STRING), ';',
        ARRAY_TO_STRING(ARRAY(
          SELECT CONCAT(CAST(BYTE_LENGTH(answer_id) AS STRING), ':', answer_id)
          FROM UNNEST(answer.answer_ids) AS answer_id WITH OFFSET AS place ORDER BY place), ''))
      FROM UNNEST(answers) AS answer WITH OFFSET AS place ORDER BY place), '')))) AS digest
  FROM `{table}`)
SELECT COUNT(*) AS row_count, COUNT(DISTINCT user_id) AS users, {lanes}
FROM digests
"""  # noqa: S608 -- the table's name is made of checked parts


def duckdb_sql(table: str) -> str:
    """The same query for DuckDB.

    Args:
        table: The table's name, without a quote in it.
    """
    lanes = ", ".join(
        f"coalesce(sum(('0x' || substr(digest, {1 + lane * _DIGITS}, {_DIGITS}))::BIGINT) % {_MODULUS}, 0) AS lane_{lane}"
        for lane in range(LANES)
    )
    return f"""
WITH digests AS (
  SELECT user_id, sha256(concat(
    coalesce(strlen(user_id) || ':' || user_id, '-'),
    coalesce(epoch_us(submitted_at)::VARCHAR, '-'), ';',
    len(answers), ';',
    array_to_string(list_transform(answers, lambda answer: concat(
      coalesce(strlen(answer.question_id) || ':' || answer.question_id, '-'),
      len(answer.answer_ids), ';',
      array_to_string(list_transform(answer.answer_ids, lambda answer_id: strlen(answer_id) || ':' || answer_id), '')
    )), ''))) AS digest
  FROM "{table}")
SELECT count(*) AS row_count, count(DISTINCT user_id) AS users, {lanes}
FROM digests
"""  # noqa: S608 -- the table's name is one of ours
