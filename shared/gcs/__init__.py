"""The fast client of Cloud Storage's JSON API, for work on millions of objects. Asynchronous.

The official client (``shared.gateway``) uses several times the CPU time for each request. ``shared.answers`` says what each
error response means, for both. Each module uses those below it:

- `listing`: listings as streams of pages, without a client object for each name.
- `api`: what callers ask of Cloud Storage, as verbs. No other module writes a path of the JSON API.
- `resources`: reads the answers that a copy needs for each object, a page of a listing and a rewrite's, straight from their bytes.
- `json_client`: one request to the JSON API: retries, authorization, errors, counting.
- `credentials`: authorization headers for requests, renewed before they expire and never twice at once.
- `wire`: HTTP/1.1 to one host over kept connections, directly or through a proxy; only what the JSON API needs.
"""
