# The image of the Cloud Run jobs: backfill, sweep, verification, deletion and whatever else `python -m backfill_job` offers.
# The base is the interpreter that the tests run on (docs/decisions/0024 says why it has no digest). Every package is a wheel of
# requirements-job.txt, by its hash: pip resolves nothing, compiles nothing, and finds no compiler.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    PYTHONPATH=/app

COPY requirements-job.txt /app/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --no-deps --require-hashes --only-binary=:all: --requirement /app/requirements-job.txt
# A step of its own, so that its failure names itself.
# hadolint ignore=DL3059
RUN python -m pip check

COPY shared/ /app/shared/
COPY backfill_job/ /app/backfill_job/
COPY consumers/ /app/consumers/
RUN python -m compileall -q /app/shared /app/backfill_job

# A user without rights, by number, so that a platform can tell that it is not root. It cannot change anything under /app. A
# command leaves its files in the working directory, /tmp.
USER 10001:10001
WORKDIR /tmp

# No shell in between: the process gets Cloud Run's SIGTERM itself.
ENTRYPOINT ["python", "-m", "backfill_job"]
CMD ["--help"]
