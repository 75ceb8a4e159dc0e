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
LEGACY_BUCKET="$(gcloud storage buckets list '--filter=name=data-bucket-prod AND uniform_bucket_level_access=true' '--format=value(name)' --project=data-platform-prod --quiet)"
: "${LEGACY_BUCKET:?gs://data-bucket-prod is not in data-platform-prod, or has no uniform bucket-level access: see docs/deploy.md, What must be there}"
NEW_BUCKET="$(gcloud storage buckets list '--filter=name=de-bigquery-data-export-prod AND uniform_bucket_level_access=true' '--format=value(name)' --project=data-platform-prod --quiet)"
: "${NEW_BUCKET:?gs://de-bigquery-data-export-prod is not in data-platform-prod, or has no uniform bucket-level access: see docs/deploy.md, What must be there}"
gcloud services enable artifactregistry.googleapis.com bigquery.googleapis.com cloudbuild.googleapis.com cloudfunctions.googleapis.com cloudresourcemanager.googleapis.com cloudscheduler.googleapis.com eventarc.googleapis.com iam.googleapis.com iamcredentials.googleapis.com logging.googleapis.com monitoring.googleapis.com pubsub.googleapis.com run.googleapis.com storage.googleapis.com --project=data-platform-prod --quiet
gcloud beta services identity create --service=eventarc.googleapis.com --project=data-platform-prod --quiet
gcloud beta services identity create --service=pubsub.googleapis.com --project=data-platform-prod --quiet
FOUND="$(gcloud artifacts repositories list --location=europe-west1 '--filter=name~/qpi-exports$' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud artifacts repositories create qpi-exports --location=europe-west1 --repository-format=docker --project=data-platform-prod --quiet
FOUND="$(gcloud storage buckets list --filter=name=data-platform-prod-qpi-exports-build '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud storage buckets create gs://data-platform-prod-qpi-exports-build --location=europe-west1 --uniform-bucket-level-access --public-access-prevention --project=data-platform-prod --quiet
FOUND="$(gcloud pubsub topics list '--filter=name~/qpi-exports-dead-letters-prod$' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud pubsub topics create qpi-exports-dead-letters-prod --project=data-platform-prod --quiet
FOUND="$(gcloud pubsub subscriptions list '--filter=name~/qpi-exports-dead-letters-prod$' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud pubsub subscriptions create qpi-exports-dead-letters-prod --topic=qpi-exports-dead-letters-prod --expiration-period=never --message-retention-duration=7d --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-backfill-prod '--display-name=QPI exports: backfill' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-verify-prod '--display-name=QPI exports: verify' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-deletion-prod '--display-name=QPI exports: deletion' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-mirror-prod '--display-name=QPI exports: mirror' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-reverse-prod '--display-name=QPI exports: reverse' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-status-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-status-prod '--display-name=QPI exports: status' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-operator-prod '--display-name=QPI exports: operator' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-trigger-prod '--display-name=QPI exports: brings events to the mirrors' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-scheduler-prod '--display-name=QPI exports: starts the sweeps' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-build-prod '--display-name=QPI exports: tests, builds, deploys' --project=data-platform-prod --quiet
FOUND="$(gcloud iam service-accounts list --filter=email=qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com '--format=value(email)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud iam service-accounts create qpi-exports-fn-build-prod '--display-name=QPI exports: builds the functions' --project=data-platform-prod --quiet
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsList$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsList --permissions=storage.objects.list '--title=QPI exports: list' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsList --permissions=storage.objects.list '--title=QPI exports: list' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsInspect$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsInspect --permissions=storage.buckets.get,storage.objects.list '--title=QPI exports: inspect' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsInspect --permissions=storage.buckets.get,storage.objects.list '--title=QPI exports: inspect' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsAudit$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsAudit --permissions=storage.buckets.get,storage.buckets.getIamPolicy,storage.objects.list '--title=QPI exports: audit' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsAudit --permissions=storage.buckets.get,storage.buckets.getIamPolicy,storage.objects.list '--title=QPI exports: audit' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsRead$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsRead --permissions=storage.objects.get '--title=QPI exports: read' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsRead --permissions=storage.objects.get '--title=QPI exports: read' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsWrite$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsWrite --permissions=storage.objects.create,storage.objects.delete,storage.objects.get '--title=QPI exports: write' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsWrite --permissions=storage.objects.create,storage.objects.delete,storage.objects.get '--title=QPI exports: write' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsTry$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsTry --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore,storage.objects.update '--title=QPI exports: try' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsTry --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore,storage.objects.update '--title=QPI exports: try' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsMark$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsMark --permissions=storage.objects.create,storage.objects.delete '--title=QPI exports: mark' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsMark --permissions=storage.objects.create,storage.objects.delete '--title=QPI exports: mark' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsDelete$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsDelete --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore '--title=QPI exports: delete' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsDelete --permissions=storage.objects.create,storage.objects.delete,storage.objects.get,storage.objects.restore '--title=QPI exports: delete' --stage=GA --project=data-platform-prod --quiet
fi
FOUND="$(gcloud iam roles list '--filter=name~/qpiExportsPause$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud iam roles update qpiExportsPause --permissions=cloudscheduler.jobs.enable,cloudscheduler.jobs.get,cloudscheduler.jobs.list,cloudscheduler.jobs.pause '--title=QPI exports: pause' --stage=GA --project=data-platform-prod --quiet
else
  gcloud iam roles create qpiExportsPause --permissions=cloudscheduler.jobs.enable,cloudscheduler.jobs.get,cloudscheduler.jobs.list,cloudscheduler.jobs.pause '--title=QPI exports: pause' --stage=GA --project=data-platform-prod --quiet
fi
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsInspect --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsDelete '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsInspect --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-status-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsList --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-status-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsAudit --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/"),title=legacy-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsAudit --condition=None --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/qpi_exports/"),title=new-path' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/"),title=own' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsWrite '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/QPI_exports/_canary/"),title=canary' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsTry '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/smoke/"),title=smoke' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsDelete '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/_migration/undo-rehearsal/"),title=rehearsal' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/_migration/"),title=records' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/_migration/"),title=records' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/_migration/"),title=records' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-bucket-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsRead '--condition=expression=resource.name.startsWith("projects/_/buckets/data-bucket-prod/objects/_migration/"),title=records' --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://de-bigquery-data-export-prod --member=serviceAccount:qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --role=projects/data-platform-prod/roles/qpiExportsMark '--condition=expression=resource.name.startsWith("projects/_/buckets/de-bigquery-data-export-prod/objects/_migration/qpi_exports/late-writes/"),title=marks' --project=data-platform-prod --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/eventarc.eventReceiver --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/monitoring.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/bigquery.jobUser --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/logging.privateLogViewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/logging.logWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/cloudfunctions.developer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/cloudscheduler.admin --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/eventarc.developer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/logging.configWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/logging.logWriter --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/monitoring.alertPolicyEditor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/monitoring.dashboardEditor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/pubsub.editor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.admin --condition=None --quiet
STORAGE_AGENT="$(gcloud storage service-agent --project=data-platform-prod --quiet)"
: "${STORAGE_AGENT:?an empty answer}"
bind gcloud projects add-iam-policy-binding data-platform-prod "--member=serviceAccount:${STORAGE_AGENT}" --role=roles/pubsub.publisher --condition=None --quiet
NUMBER="$(gcloud projects describe data-platform-prod '--format=value(projectNumber)' --project=data-platform-prod --quiet)"
: "${NUMBER:?an empty answer}"
bind gcloud projects add-iam-policy-binding data-platform-prod "--member=serviceAccount:service-${NUMBER}@gcp-sa-eventarc.iam.gserviceaccount.com" --role=roles/eventarc.serviceAgent --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.serviceAgent --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.subscriber --condition=None --quiet
bind gcloud pubsub topics add-iam-policy-binding qpi-exports-dead-letters-prod "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/pubsub.publisher --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com "--member=serviceAccount:service-${NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com" --role=roles/iam.serviceAccountTokenCreator --project=data-platform-prod --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=serviceAccount:qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/storage.objectViewer "--condition=expression=resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${NUMBER}-europe-west1/\"),title=function-sources" --quiet
bind gcloud artifacts repositories add-iam-policy-binding qpi-exports --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/artifactregistry.writer --location=europe-west1 --project=data-platform-prod --quiet
bind gcloud artifacts repositories add-iam-policy-binding qpi-exports --member=serviceAccount:qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/artifactregistry.writer --location=europe-west1 --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-prod-qpi-exports-build --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/storage.objectViewer --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-status-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --member=serviceAccount:qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/cloudbuild.builds.editor --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/logging.privateLogViewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/monitoring.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/run.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=roles/serviceusage.serviceUsageConsumer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-operations@example.com --role=projects/data-platform-prod/roles/qpiExportsPause --condition=None --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-operator-prod@data-platform-prod.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --member=group:data-operations@example.com --role=roles/iam.serviceAccountUser --project=data-platform-prod --quiet
bind gcloud iam service-accounts add-iam-policy-binding qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --member=group:data-owners@example.com --role=roles/iam.serviceAccountTokenCreator --project=data-platform-prod --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-owners@example.com --role=roles/logging.viewer --condition=None --quiet
bind gcloud projects add-iam-policy-binding data-platform-prod --member=group:data-owners@example.com --role=roles/run.viewer --condition=None --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-prod-qpi-exports-build --member=group:data-operations@example.com --role=roles/storage.legacyBucketReader --project=data-platform-prod --quiet
bind gcloud storage buckets add-iam-policy-binding gs://data-platform-prod-qpi-exports-build --member=group:data-operations@example.com --role=roles/storage.objectUser --project=data-platform-prod --quiet
bind gcloud pubsub subscriptions add-iam-policy-binding qpi-exports-dead-letters-prod --member=group:data-operations@example.com --role=roles/pubsub.subscriber --project=data-platform-prod --quiet
gcloud run jobs deploy qpi-exports-backfill-prod --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-prod/qpi-exports/job:0123abc --service-account=qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --args=migrate,--env=prod,--execute,--yes,--report=gs://de-bigquery-data-export-prod/_migration/qpi_exports/reports/backfill/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=10 --max-retries=3 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=prod --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-backfill-prod --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-prod --quiet
gcloud run jobs deploy qpi-exports-sweep-prod --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-prod/qpi-exports/job:0123abc --service-account=qpi-exports-backfill-prod@data-platform-prod.iam.gserviceaccount.com --args=migrate,--env=prod,--execute,--yes,--since=2d --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=1 --max-retries=0 --task-timeout=1h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=prod --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-sweep-prod --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-prod --quiet
gcloud run jobs deploy qpi-exports-verify-prod --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-prod/qpi-exports/job:0123abc --service-account=qpi-exports-verify-prod@data-platform-prod.iam.gserviceaccount.com --args=verify,--env=prod,--report=gs://de-bigquery-data-export-prod/_migration/qpi_exports/reports/verify/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=10 --max-retries=1 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=prod --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-verify-prod --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.developer --project=data-platform-prod --quiet
gcloud run jobs deploy qpi-exports-deletion-prod --region=europe-west1 --image=europe-west1-docker.pkg.dev/data-platform-prod/qpi-exports/job:0123abc --service-account=qpi-exports-deletion-prod@data-platform-prod.iam.gserviceaccount.com --args=delete,--env=prod,--dry-run,--report=gs://de-bigquery-data-export-prod/_migration/qpi_exports/reports/deletion/ --set-env-vars=DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --tasks=1 --max-retries=0 --task-timeout=24h --cpu=1 --memory=1Gi --labels=app=qpi-exports,env=prod --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-deletion-prod --region=europe-west1 --member=group:data-owners@example.com --role=roles/run.developer --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-sweep-prod --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-backfill-prod --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-prod --quiet
bind gcloud run jobs add-iam-policy-binding qpi-exports-verify-prod --region=europe-west1 --member=serviceAccount:qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-prod --quiet
gcloud run jobs execute qpi-exports-backfill-prod --region=europe-west1 --args=begin,--env=prod,--by=qpi-exports-build-prod@data-platform-prod.iam.gserviceaccount.com --tasks=1 --wait --project=data-platform-prod --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-mirror-prod$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-mirror-prod --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-mirror-prod@data-platform-prod.iam.gserviceaccount.com --entry-point=mirror_object --trigger-event-filters=type=google.cloud.storage.object.v1.finalized --trigger-event-filters=bucket=data-bucket-prod --trigger-location=europe-west1 --trigger-service-account=qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --retry --set-env-vars=MIRROR_ENV=prod,MIRROR_REVERSE=false,THREADS=16,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=100 --timeout=120s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-prod/serviceAccounts/qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --docker-repository=projects/data-platform-prod/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=prod,release=RELEASE --project=data-platform-prod --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-mirror-prod --region=europe-west1 --member=serviceAccount:qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-prod --quiet
MIRROR_TRIGGER="$(gcloud functions describe qpi-exports-mirror-prod --gen2 --region=europe-west1 '--format=value(eventTrigger.trigger)' --project=data-platform-prod --quiet)"
: "${MIRROR_TRIGGER:?an empty answer}"
MIRROR_SUBSCRIPTION="$(gcloud eventarc triggers describe "${MIRROR_TRIGGER}" '--format=value(transport.pubsub.subscription)' --project=data-platform-prod --quiet)"
: "${MIRROR_SUBSCRIPTION:?an empty answer}"
gcloud pubsub subscriptions update "${MIRROR_SUBSCRIPTION}" --dead-letter-topic=projects/data-platform-prod/topics/qpi-exports-dead-letters-prod --max-delivery-attempts=100 --project=data-platform-prod --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-reverse-prod$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-reverse-prod --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-reverse-prod@data-platform-prod.iam.gserviceaccount.com --entry-point=mirror_object --trigger-event-filters=type=google.cloud.storage.object.v1.finalized --trigger-event-filters=bucket=de-bigquery-data-export-prod --trigger-location=europe-west1 --trigger-service-account=qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --retry --set-env-vars=MIRROR_ENV=prod,MIRROR_REVERSE=true,THREADS=16,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=100 --timeout=120s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-prod/serviceAccounts/qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --docker-repository=projects/data-platform-prod/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=prod,release=RELEASE --project=data-platform-prod --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-reverse-prod --region=europe-west1 --member=serviceAccount:qpi-exports-trigger-prod@data-platform-prod.iam.gserviceaccount.com --role=roles/run.invoker --project=data-platform-prod --quiet
REVERSE_TRIGGER="$(gcloud functions describe qpi-exports-reverse-prod --gen2 --region=europe-west1 '--format=value(eventTrigger.trigger)' --project=data-platform-prod --quiet)"
: "${REVERSE_TRIGGER:?an empty answer}"
REVERSE_SUBSCRIPTION="$(gcloud eventarc triggers describe "${REVERSE_TRIGGER}" '--format=value(transport.pubsub.subscription)' --project=data-platform-prod --quiet)"
: "${REVERSE_SUBSCRIPTION:?an empty answer}"
gcloud pubsub subscriptions update "${REVERSE_SUBSCRIPTION}" --dead-letter-topic=projects/data-platform-prod/topics/qpi-exports-dead-letters-prod --max-delivery-attempts=100 --project=data-platform-prod --quiet
FOUND="$(gcloud functions list --v2 --regions=europe-west1 '--filter=name~/qpi-exports-status-prod$ AND labels.release=RELEASE AND state=ACTIVE' '--format=value(name)' --project=data-platform-prod --quiet)"
[ -n "$FOUND" ] ||
  gcloud functions deploy qpi-exports-status-prod --gen2 --runtime=python311 --region=europe-west1 --source=. --service-account=qpi-exports-status-prod@data-platform-prod.iam.gserviceaccount.com --entry-point=status_page --trigger-http --set-env-vars=MIRROR_ENV=prod,DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA=true --concurrency=16 --max-instances=2 --timeout=60s --cpu=1 --memory=512Mi --no-allow-unauthenticated --build-service-account=projects/data-platform-prod/serviceAccounts/qpi-exports-fn-build-prod@data-platform-prod.iam.gserviceaccount.com --docker-repository=projects/data-platform-prod/locations/europe-west1/repositories/qpi-exports --update-labels=app=qpi-exports,env=prod,release=RELEASE --project=data-platform-prod --quiet
bind gcloud run services add-iam-policy-binding qpi-exports-status-prod --region=europe-west1 --member=group:data-operations@example.com --role=roles/run.invoker --project=data-platform-prod --quiet
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-sweep-prod$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-sweep-prod --location=europe-west1 '--schedule=*/15 * * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-sweep-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
else
  gcloud scheduler jobs create http qpi-exports-sweep-prod --location=europe-west1 '--schedule=*/15 * * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-sweep-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
fi
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-full-prod$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-full-prod --location=europe-west1 '--schedule=30 2 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-backfill-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
else
  gcloud scheduler jobs create http qpi-exports-full-prod --location=europe-west1 '--schedule=30 2 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-backfill-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
fi
FOUND="$(gcloud scheduler jobs list --location=europe-west1 '--filter=name~/qpi-exports-verify-prod$' '--format=value(name)' --project=data-platform-prod --quiet)"
if [ -n "$FOUND" ]; then
  gcloud scheduler jobs update http qpi-exports-verify-prod --location=europe-west1 '--schedule=30 8 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-verify-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
else
  gcloud scheduler jobs create http qpi-exports-verify-prod --location=europe-west1 '--schedule=30 8 * * *' --time-zone=Europe/Paris --uri=https://run.googleapis.com/v2/projects/data-platform-prod/locations/europe-west1/jobs/qpi-exports-verify-prod:run --http-method=POST --oauth-service-account-email=qpi-exports-scheduler-prod@data-platform-prod.iam.gserviceaccount.com --project=data-platform-prod --quiet
fi
if [ "$REFUSED" -gt 0 ]; then
  echo "$REFUSED bindings were refused: run it again" >&2
  exit 1
fi
