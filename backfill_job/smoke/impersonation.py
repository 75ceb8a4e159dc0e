"""A service account that the account in use impersonates. Apart from the command, because Google's library has no types."""

from collections.abc import Mapping
from typing import Any

from backfill_job.run.google_apis import APIS
from shared.errors import UsageError
from shared.gcs.credentials import SCOPE

__all__ = ["impersonated"]

CLOUD = "https://www.googleapis.com/auth/cloud-platform"
"""The scope in which tokens of other accounts can be asked for."""


def impersonated(account: str, environ: Mapping[str, str]) -> Any:
    """Credentials of a service account, for `Gateway`. Its first request asks for the token.

    Raises:
        UsageError: There are no credentials of one's own.
    """
    import google.auth  # noqa: PLC0415 -- slow, and most runs impersonate no account
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 -- as above
    from google.auth.impersonated_credentials import Credentials  # noqa: PLC0415 -- as above
    from google.oauth2.credentials import Credentials as Token  # noqa: PLC0415 -- as above

    path = f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    try:
        own: Any = Token("local") if APIS in environ else google.auth.default(scopes=[CLOUD])[0]  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise UsageError(f"no Google Cloud credentials ({error})") from error
    base = environ.get(APIS) or "https://iamcredentials.googleapis.com"
    return Credentials(own, account, [SCOPE], iam_endpoint_override=base + path)  # type: ignore[no-untyped-call]
