"""The fast client of Cloud Storage's JSON API, for work on millions of objects. Asynchronous.

The official client (``shared.gateway``) uses several times the CPU time for each request.

::

    blocking     for callers that do not await
       │
    listing      listings as streams of pages
       │
    api          one verb for each thing that callers do; the only place that writes API paths
       │  └───── batch          the form of a batch request
    resources    objects from the bytes of an answer
       │
    json_client  one request: retries, authorization, errors, counting
       │  └───── credentials    authorization headers, renewed before they expire
    wire         HTTP/1.1 over kept connections, directly or through a proxy

``shared.answers`` says what each error response means, for this client and for the gateway.

- `api`: what callers ask of Cloud Storage, as verbs. No other module writes a path of the JSON API.
- `blocking`: the same for callers that do not await: the record, the phase, single objects.
- `batch`: the form of a batch request: several calls in one request, each with its own answer. Pure.
- `credentials`: authorization headers for requests, renewed before they expire and never twice at once.
- `json_client`: one request to the JSON API: retries, authorization, errors, counting. ``api`` has the verbs.
- `listing`: listings as streams of pages, without a client object for each name.
- `resources`: reads the answers that a copy needs for each object, a page of a listing and a rewrite's, straight from their bytes.
- `wire`: HTTP/1.1 to one host over kept connections, directly or through a proxy; only what the JSON API needs.
"""
