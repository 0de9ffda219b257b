#!/bin/sh
# Archives the past in {{.Shards}} parts. Each run uses a quarter of a vCPU. Set maxvCpus of the queue's
# compute environment so that at most {{.Parallelism}} run in parallel, because they share the vendor's rate.
# Run it again on the next day, while parts end with exit code 3. After exit code 2 every part would fail, so stop the job:
#   aws batch terminate-job --job-id JOB --reason "exit code 2"
set -eu
cd "$(dirname "$0")"
aws batch register-job-definition --cli-input-json file://job-definition.json
aws batch submit-job --cli-input-json file://job.json
