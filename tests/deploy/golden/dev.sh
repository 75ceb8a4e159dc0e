set -euo pipefail
# What a new service, or a new agent of Google's, refuses is tried again, for 3 minutes.
gcloud() {
  local why status tries=12
  while true; do
    status=0
    { why="$(command gcloud "$@" 2>&1 1>&3)"; } 3>&1 || status=$?
    if [ -n "$why" ]; then printf '%s\n' "$why" >&2; fi
    if [ "$status" -eq 0 ] || [ "$tries" -le 0 ]; then return "$status"; fi
    case "$why" in
      *"SERVICE_DISABLED"*|*"has not been used in project"*|*"using the Eventarc Service Agent"*) ;;
      *) return "$status" ;;
    esac
    tries=$((tries - 1))
    sleep 15
  done
}
TRIES=12 REFUSED=0
# A new account or role is not known everywhere at once: a binding that names it is tried again, for 3 minutes in all.
bind() {
  local why
  until why="$("$@" 2>&1 >/dev/null)"; do
    printf '%s\n' "$why" >&2
    case "${why,,}" in
      *"does not exist"*|*"unknown service account"*) ;;
      *) return 1 ;;
    esac
    if [ "$TRIES" -le 0 ]; then
      REFUSED=$((REFUSED + 1))
      return 0
    fi
    TRIES=$((TRIES - 1))
    sleep 15
  done
}
LEGACY_BUCKET="$(gcloud storage buckets list '--filter=name=data-bucket-dev AND uniform_bucket_level_access=true' '--format=value(name)' --project=data-platform-dev --quiet)"
: "${LEGACY_BUCKET:?gs://data-bucket-dev is not in data-platform-dev, or has no uniform bucket-level access: see docs/deploy.md, What must be there}"
NEW_BUCKET="$(gcloud storage buckets list '--filter=name=de-bigquery-data-export-dev AND uniform_bucket_level_access=true' '--format=value(name)' --project=data-platform-dev --quiet)"
: "${NEW_BUCKET:?gs://de-bigquery-data-export-dev is not in data-platform-dev, or has no uniform bucket-level access: see docs/deploy.md, What must be there}"
gcloud services enable artifactregistry.googleapis.com bigquery.googleapis.com cloudbuild.googleapis.com cloudfunctions.googleapis.com cloudresourcemanager.googleapis.com cloudscheduler.googleapis.com eventarc.googleapis.com iam.googleapis.com iamcredentials.googleapis.com logging.googleapis.com monitoring.googleapis.com pubsub.googleapis.com run.googleapis.com storage.googleapis.com --project=data-platform-dev --quiet
gcloud beta services identity create --service=eventarc.googleapis.com --project=data-platform-dev --quiet
gcloud beta services identity create --service=pubsub.googleapis.com --project=data-platform-dev --quiet
FOUND="$(gcloud artifacts repositories list --location=europe-west1 '--filter=name~/qpi-exports$' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud artifacts repositories create qpi-exports --location=europe-west1 --repository-format=docker --project=data-platform-dev --quiet
FOUND="$(gcloud storage buckets list --filter=name=data-platform-dev-qpi-exports-build '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud storage buckets create gs://data-platform-dev-qpi-exports-build --location=europe-west1 --uniform-bucket-level-access --public-access-prevention --project=data-platform-dev --quiet
FOUND="$(gcloud pubsub topics list '--filter=name~/qpi-exports-dead-letters-dev$' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud pubsub topics create qpi-exports-dead-letters-dev --project=data-platform-dev --quiet
FOUND="$(gcloud pubsub subscriptions list '--filter=name~/qpi-exports-dead-letters-dev$' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud pubsub subscriptions create qpi-exports-dead-letters-dev --topic=qpi-exports-dead-letters-dev --expiration-period=never --message-retention-duration=7d --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-backfill-dev '--display-name=QPI exports: backfill' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-verify-dev '--display-name=QPI exports: verify' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-deletion-dev '--display-name=QPI exports: deletion' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-mirror-dev '--display-name=QPI exports: mirror' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-reverse-dev '--display-name=QPI exports: reverse' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-status-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-status-dev '--display-name=QPI exports: status' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-operator-dev '--display-name=QPI exports: operator' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-trigger-dev '--display-name=QPI exports: brings events to the mirrors' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-scheduler-dev '--display-name=QPI exports: starts the sweeps' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-build-dev '--display-name=QPI exports: tests, builds, deploys' --project=data-platform-dev --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-fn-build-dev '--display-name=QPI exports: builds the functions' --project=data-platform-dev --quiet
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsList$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsList --permissions=storage.objects.list '--title=QPI exports: list' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsList --permissions=storage.objects.list '--title=QPI exports: list' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsInspect$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsInspect --permissions=storage.buckets.get,storage.objects.list '--title=QPI exports: inspect' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsInspect --permissions=storage.buckets.get,storage.objects.list '--title=QPI exports: inspect' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsAudit$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsAudit --permissions=storage.buckets.get,storage.buckets.getIamPolicy,storage.objects.list '--title=QPI exports: audit' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsAudit --permissions=storage.buckets.get,storage.buckets.getIamPolicy,storage.objects.list '--title=QPI exports: audit' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsRead$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsRead --permissions=storage.objects.get '--title=QPI exports: read' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsRead --permissions=storage.objects.get '--title=QPI exports: read' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsWrite$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsWrite --permissions=storage.objects.create,storage.objects.delete,storage.objects.get '--title=QPI exports: write' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsWrite --permissions=storage.objects.create,storage.objects.delete,storage.objects.get '--title=QPI exports: write' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsTry$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsTry --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore,storage.objects.update '--title=QPI exports: try' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsTry --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore,storage.objects.update '--title=QPI exports: try' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsMark$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsMark --permissions=storage.objects.create,storage.objects.delete '--title=QPI exports: mark' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsMark --permissions=storage.objects.create,storage.objects.delete '--title=QPI exports: mark' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsDelete$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsDelete --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore '--title=QPI exports: delete' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsDelete --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore '--title=QPI exports: delete' --stage=GA --project=data-platform-dev --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsPause$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsPause --permissions=cloudscheduler.jobs.enable,cloudscheduler.jobs.get,cloudscheduler.jobs.list,cloudscheduler.jobs.pause '--title=QPI exports: pause' --stage=GA --project=data-platform-dev --quiet
else
  gcloud iam roles create qpiExportsPause --permissions=cloudscheduler.jobs.enable,cloudscheduler.jobs.get,cloudscheduler.jobs.list,cloudscheduler.jobs.pause '--title=QPI exports: pause' --stage=GA --project=data-platform-dev --quiet
fi
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsInspect --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsDelete '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsInspect --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-status-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsList --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-status-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsAudit --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/"),title=legacy-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsAudit --condition=None --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/qpi_exports/"),title=new-path' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/"),title=own' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/QPI_exports/_canary/"),title=canary' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsTry '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/smoke/"),title=smoke' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsDelete '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/_migration/undo-rehearsal/"),title=rehearsal' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/_migration/"),title=records' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/_migration/"),title=records' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/_migration/"),title=records' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-dev/objects/_migration/"),title=records' --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-dev --member=serviceAccount:qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --role=projects/data-platform-dev/roles/qpiExportsMark '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-dev/objects/_migration/qpi_exports/late-writes/"),title=marks' --project=data-platform-dev --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/eventarc.eventReceiver --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/monitoring.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/bigquery.jobUser --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/logging.privateLogViewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/logging.logWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/cloudfunctions.developer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/cloudscheduler.admin --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/eventarc.developer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/logging.configWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/logging.logWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/monitoring.alertPolicyEditor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/monitoring.dashboardEditor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/pubsub.editor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.admin --condition=None --quiet
STORAGE_AGENT="$(gcloud storage service-agent --project=data-platform-dev --quiet)"
: "${STORAGE_AGENT:?an empty answer}"
bind gcloud projects add-iam-policy-binding data-platform-dev "--member=serviceAccount:${STORAGE_AGENT}" --role=roles/pubsub.publisher --condition=None --quiet
NUMBER="$(gcloud projects describe data-platform-dev '--format=value(projectNumber)' --project=data-platform-dev --quiet)"
: "${NUMBER:?an empty answer}"
bind gcloud projects add-iam-policy-binding data-platform-dev "--member=serviceAccount:service-${NUMBER}@gcp-sa-eventarc.iam.gserviceaccount.com" --role=roles/eventarc.serviceAgent --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.serviceAgent --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.subscriber --condition=None --quiet
bind gcloud pubsub topics add-iam-policy-binding qpi-exports-dead-letters-dev "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.publisher --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/iam.serviceAccountTokenCreator --project=data-platform-dev --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=serviceAccount:qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/storage.objectViewer "--condition=expression=resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${NUMBER}-europe-west1/\"),title=function-sources" --quiet
bind gcloud artifacts repositories add-iam-policy-binding qpi-exports --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/artifactregistry.writer --location=europe-west1 --project=data-platform-dev --quiet
bind gcloud artifacts repositories add-iam-policy-binding qpi-exports --member=serviceAccount:qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/artifactregistry.writer --location=europe-west1 --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-dev-qpi-exports-build --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/storage.objectViewer --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-status-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/cloudbuild.builds.editor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/logging.privateLogViewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/monitoring.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/run.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=roles/serviceusage.serviceUsageConsumer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-operations@example.com --role=projects/data-platform-dev/roles/qpiExportsPause --condition=None --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-operator-dev@data-platform-dev.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountUser --project=data-platform-dev --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --member=group:data-owners@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-dev --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-owners@example.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-dev --member=group:data-owners@example.com --role=roles/run.viewer --condition=None --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-dev-qpi-exports-build --member=group:data-operations@example.com --role=roles/storage.legacyBucketReader --project=data-platform-dev --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-dev-qpi-exports-build --member=group:data-operations@example.com --role=roles/storage.objectUser --project=data-platform-dev --quiet
bind gcloud pubsub subscriptions add-iam-policy-binding qpi-exports-dead-letters-dev --member=group:data-operations@example.com --role=roles/pubsub.subscriber --project=data-platform-dev --quiet
gcloud run jobs deploy qpi-exports-backfill-dev --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-dev/qpi-exports/job:0123abc --service-account=qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --args=migrate,--env=dev,--execute,--yes,--report=gs://de-bigquery-data-export-dev/_migration/qpi_exports/reports/backfill/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=2 --max-retries=3 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=dev --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-backfill-dev --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-dev --quiet
gcloud run jobs deploy qpi-exports-sweep-dev --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-dev/qpi-exports/job:0123abc --service-account=qpi-exports-backfill-dev@data-platform-dev.iam.gserviceaccount.com --args=migrate,--env=dev,--execute,--yes,--since=2d --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=1 --max-retries=0 --task-timeout=1h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=dev --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-sweep-dev --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-dev --quiet
gcloud run jobs deploy qpi-exports-verify-dev --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-dev/qpi-exports/job:0123abc --service-account=qpi-exports-verify-dev@data-platform-dev.iam.gserviceaccount.com --args=verify,--env=dev,--report=gs://de-bigquery-data-export-dev/_migration/qpi_exports/reports/verify/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=2 --max-retries=1 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=dev --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-verify-dev --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-dev --quiet
gcloud run jobs deploy qpi-exports-deletion-dev --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-dev/qpi-exports/job:0123abc --service-account=qpi-exports-deletion-dev@data-platform-dev.iam.gserviceaccount.com --args=delete,--env=dev,--dry-run,--report=gs://de-bigquery-data-export-dev/_migration/qpi_exports/reports/deletion/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=1 --max-retries=0 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=dev --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-deletion-dev --region=europe-west1 --member=group:data-owners@example.com --role=roles/run.developer --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-sweep-dev --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-backfill-dev --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-dev --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-verify-dev --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-dev --quiet
gcloud run jobs execute qpi-exports-backfill-dev --region=europe-west1 --args=begin,--env=dev,--by=qpi-exports-build-dev@data-platform-dev.iam.gserviceaccount.com --tasks=1 --wait --project=data-platform-dev --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-mirror-dev$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-mirror-dev --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-mirror-dev@data-platform-dev.iam.gserviceaccount.com --entry-point=mirror_object --trigger-event-filters=type=google.cloud.storage.object.v1.finalized --trigger-event-filters=bucket=data-bucket-dev --trigger-location=europe-west1 --trigger-service-account=qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --retry --set-env-vars=MIRROR_ENV=dev,MIRROR_REVERSE=false,THREADS=16,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=100 --timeout=120s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-dev/serviceAccounts/qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --docker-repository=projects/data-platform-dev/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=dev,release=RELEASE --project=data-platform-dev --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-mirror-dev --region=europe-west1 --member=serviceAccount:qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-dev --quiet
MIRROR_TRIGGER="$(gcloud functions describe qpi-exports-mirror-dev --gen2 --region=europe-west1 '--format=value(eventTrigger.trigger)' --project=data-platform-dev --quiet)"
: "${MIRROR_TRIGGER:?an empty answer}"
MIRROR_SUBSCRIPTION="$(gcloud eventarc triggers describe "${MIRROR_TRIGGER}" '--format=value(transport.pubsub.subscription)' --project=data-platform-dev --quiet)"
: "${MIRROR_SUBSCRIPTION:?an empty answer}"
gcloud pubsub subscriptions update "${MIRROR_SUBSCRIPTION}" --dead-letter-topic=projects/data-platform-dev/topics/qpi-exports-dead-letters-dev --max-delivery-attempts=100 --project=data-platform-dev --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-reverse-dev$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-reverse-dev --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-reverse-dev@data-platform-dev.iam.gserviceaccount.com --entry-point=mirror_object --trigger-event-filters=type=google.cloud.storage.object.v1.finalized --trigger-event-filters=bucket=de-bigquery-data-export-dev --trigger-location=europe-west1 --trigger-service-account=qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --retry --set-env-vars=MIRROR_ENV=dev,MIRROR_REVERSE=true,THREADS=16,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=100 --timeout=120s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-dev/serviceAccounts/qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --docker-repository=projects/data-platform-dev/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=dev,release=RELEASE --project=data-platform-dev --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-reverse-dev --region=europe-west1 --member=serviceAccount:qpi-exports-trigger-dev@data-platform-dev.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-dev --quiet
REVERSE_TRIGGER="$(gcloud functions describe qpi-exports-reverse-dev --gen2 --region=europe-west1 '--format=value(eventTrigger.trigger)' --project=data-platform-dev --quiet)"
: "${REVERSE_TRIGGER:?an empty answer}"
REVERSE_SUBSCRIPTION="$(gcloud eventarc triggers describe "${REVERSE_TRIGGER}" '--format=value(transport.pubsub.subscription)' --project=data-platform-dev --quiet)"
: "${REVERSE_SUBSCRIPTION:?an empty answer}"
gcloud pubsub subscriptions update "${REVERSE_SUBSCRIPTION}" --dead-letter-topic=projects/data-platform-dev/topics/qpi-exports-dead-letters-dev --max-delivery-attempts=100 --project=data-platform-dev --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-status-dev$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-dev --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-status-dev --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-status-dev@data-platform-dev.iam.gserviceaccount.com --entry-point=status_page --trigger-http --set-env-vars=MIRROR_ENV=dev,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=2 --timeout=60s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-dev/serviceAccounts/qpi-exports-fn-build-dev@data-platform-dev.iam.gserviceaccount.com --docker-repository=projects/data-platform-dev/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=dev,release=RELEASE --project=data-platform-dev --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-status-dev --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.invoker --project=data-platform-dev --quiet
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-sweep-dev$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-sweep-dev --location=europe-west1 '--schedule=*/15 * * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-sweep-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
else
  gcloud scheduler jobs create http qpi-exports-sweep-dev --location=europe-west1 '--schedule=*/15 * * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-sweep-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
fi
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-full-dev$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-full-dev --location=europe-west1 '--schedule=30 2 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-backfill-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
else
  gcloud scheduler jobs create http qpi-exports-full-dev --location=europe-west1 '--schedule=30 2 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-backfill-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
fi
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-verify-dev$' '--format=value(name)' --project=data-platform-dev --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-verify-dev --location=europe-west1 '--schedule=30 8 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-verify-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
else
  gcloud scheduler jobs create http qpi-exports-verify-dev --location=europe-west1 '--schedule=30 8 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-dev/locations/europe-west1/jobs/qpi-exports-verify-dev:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-dev@data-platform-dev.iam.gserviceaccount.com --project=data-platform-dev --quiet
fi
if [ "$REFUSED" -gt 0 ]; then
  echo "$REFUSED bindings were refused: run it again" >&2
  exit 1
fi
