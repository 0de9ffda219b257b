#!/bin/sh
{{- if .LockDays}}
# These runs do not lock recordings, because --s3-lock-after is given. Run lock without --last when recordings are due.
{{- end}}
# Archives the past in {{.Shards}} parts. The queue's compute environment decides how many run at once: with a
# quarter of a processor each, its maxvCpus must not allow more than {{.Parallelism}}, which share the vendor's rate.
# While parts end with exit code 3, run it again on the next day. Exit code 2 (configuration, token) concerns every part:
#   aws batch terminate-job --job-id JOB --reason "exit code 2"
set -eu
cd "$(dirname "$0")"
aws batch register-job-definition --cli-input-json file://job-definition.json
aws batch submit-job --cli-input-json file://job.json
