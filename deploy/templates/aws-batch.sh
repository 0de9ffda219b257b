#!/bin/sh
{{- if .LockDays}}
# These runs do not lock recordings, because --s3-lock-after is given. Run lock without --last when recordings are due.
{{- end}}
# Archives the past in {{.Shards}} parts. The queue's compute environment decides how many parts run at once. Each part has a
# quarter of a processor and a share of the vendor's rate: maxvCpus must not allow more than {{.Parallelism}} parts at once.
# While parts end with exit code 3, run this script again on the next day. If a part ends with exit code 2 (configuration,
# token), every part will. End all:
#   aws batch terminate-job --job-id JOB --reason "exit code 2"
set -eu
cd "$(dirname "$0")"
aws batch register-job-definition --cli-input-json file://job-definition.json
aws batch submit-job --cli-input-json file://job.json
