#!/usr/bin/env bash
# Recomputes a certificate without any of this project's code: with gcloud, and python3 from its standard library.
#
#   docs/recompute-certificate.sh certificate.json
#
# Lists both prefixes as they are now, and prints "same", or the days that differ (exit 1). The line after "same" says whether
# the two sides are equal in names, sizes and crc32c (exit 0); this follows from the days. Where they are not, where nothing was
# compared, or where the verification was not clean, it says so (exit 1). A certificate whose digests do not fit is refused
# (exit 2). A digest finds accidents only: anybody can compute a new one. The recomputation from the buckets is what shows that
# a certificate is true.
# What it computes is written at the top of backfill_job/verify/day_counts.py and backfill_job/verify/certificate.py.
set -euo pipefail
certificate=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/recompute.py" <<'PYTHON'
import datetime, fnmatch, hashlib, json, re, sys

# The names that have a day: DAY_PATTERN of shared/partitions.py.
DAY_PATTERN = r"qpi_answers_([0-9]{8})/[\s\S]*|qpi_answers_([0-9]{8})\.jsonl|qpi_questions_([0-9]{8})\.csv"

# How the names of days are counted: LAYOUTS_VERSION of shared/partitions.py.
LAYOUTS = 1

FORMAT = "qpi-exports-migration/certificate/2"

stated = json.load(open(sys.argv[1], encoding="utf-8"))
data = stated["data"]
days = {}


def sha256_of(content):
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def refuse(why):
    print(f"not recomputed: {why}; the certificate is of another version, damaged or edited", file=sys.stderr)
    sys.exit(2)


if stated["format"] != FORMAT:
    refuse(f"format is not {FORMAT}")
if data["layouts"] != LAYOUTS:
    refuse(f"data.layouts is not {LAYOUTS}")
if stated["data_sha256"] != sha256_of(data):
    refuse("data_sha256 is not the digest of data")
if stated["fields_sha256"] != sha256_of({key: stated[key] for key in stated if key != "fields_sha256"}):
    refuse("fields_sha256 is not the digest of the other fields")
if len(sys.argv) < 3:
    print(data["source"], data["destination"], sep="\n")
    sys.exit(0)


def empty():
    return {"objects": 0, "bytes": 0, "jsonl": 0, "empty_jsonl": 0, "digest": 0}


# Where one side is a whole bucket, its folder of the migrations' own objects is never data.
whole_bucket = any(data[side].count("/") == 3 for side in ("source", "destination"))


def excluded(name):
    if whole_bucket and name.startswith("_migration/"):
        return True
    last = name.rpartition("/")[2]
    return any(
        fnmatch.fnmatchcase(name, glob) or ("/" not in glob and fnmatch.fnmatchcase(last, glob))
        for glob in data["excludes"]
    )


def day_of(name):
    found = re.fullmatch(DAY_PATTERN, name)
    try:
        return datetime.date.fromisoformat(found[found.lastindex]).isoformat() if found else "undated"
    except ValueError:
        return "undated"


for side in ("source", "destination"):
    prefix = data[side].split("/", 3)[3]
    for entry in json.load(open(f"{sys.argv[2]}/{side}.json", encoding="utf-8")):
        if entry["type"] != "cloud_object":
            continue
        facts = entry["metadata"]
        name, size = facts["name"][len(prefix) :], int(facts["size"])
        if excluded(name):
            continue
        line = f"{size} {facts.get('crc32c') or '-'} {name}".encode()
        digest = int(hashlib.sha256(line).hexdigest(), 16)
        jsonl = name[-6:].lower() == ".jsonl"
        for day in (day_of(name), "total"):
            tally = days.setdefault(day, {"source": empty(), "destination": empty()})[side]
            tally["objects"] += 1
            tally["bytes"] += size
            tally["jsonl"] += jsonl
            tally["empty_jsonl"] += jsonl and not size
            tally["digest"] = (tally["digest"] + digest) % 2**256

for sides in days.values():
    for tally in sides.values():
        tally["digest"] = f"{tally['digest']:064x}"
nothing = {**empty(), "digest": "0" * 64}
total = days.pop("total", {"source": nothing, "destination": nothing})
named = {key: data[key] for key in ("source", "destination", "excludes", "layouts")}
sha = sha256_of({**named, "days": days, "total": total})
if sha == stated["data_sha256"]:
    print(f"same: data SHA-256 {sha}")
    unequal = sorted(day for day, sides in days.items() if sides["source"] != sides["destination"])
    if unequal:
        print(f"NOT EQUAL: {', '.join(unequal)}")
    elif not days:
        print("NOTHING was compared: neither path holds an object")
    elif not stated["run"]["clean"]:
        print("NOT clean, although names, sizes and crc32c are equal: the report of the verification says why")
    else:
        print("both sides are equal: names, sizes and crc32c of every object")
    sys.exit(bool(unequal or not days or not stated["run"]["clean"]))
print(f"different: data SHA-256 {sha} now, {stated['data_sha256']} stated")
for day in sorted({*days, *data["days"]}):
    if days.get(day) != data["days"].get(day):
        print(f"  {day}")
sys.exit(1)
PYTHON

# An error ends the script: a certificate that does not fit is refused, and a listing that fails is not an empty one.
uris=$(python3 "$work/recompute.py" "$certificate")
{ read -r source; read -r destination; } <<< "$uris"
gcloud storage ls --json --recursive "$source**" > "$work/source.json"
gcloud storage ls --json --recursive "$destination**" > "$work/destination.json"
python3 "$work/recompute.py" "$certificate" "$work"
