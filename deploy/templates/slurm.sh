#!/bin/bash
{{- if .LockDays}}
# These runs do not lock recordings, because --s3-lock-after is given. Run lock without --last when recordings are due.
{{- end}}
# Archives the past with {{.Parallelism}} runs at once, which share {{.Shards}} parts of the days. If this file is {{.Name}}-backfill.sh:
#   sbatch {{.Name}}-backfill.sh    # while parts end with exit code 3, run sbatch again on the next day
#SBATCH --job-name={{.Name}}-backfill
#SBATCH --array=0-{{.LastShard}}%{{.Parallelism}}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem={{.MemoryMiB}}M
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log
# A run that reaches its time limit gets this many seconds for a clean stop, and resumes later.
#SBATCH --signal=TERM@{{seconds .Stop}}
set -u

state=$(mktemp -d "${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/{{.Name}}.XXXXXX") || exit 1
trap 'rm -rf "$state"' EXIT
{{- if .S3CredentialsFile}}
export AWS_SHARED_CREDENTIALS_FILE={{word .S3CredentialsFile}}
{{- end}}

srun --ntasks=1 {{word .Program}} archive \
{{- range .Flags}}
  {{words .}} \
{{- end}}
  --auth-token-file {{word .TokenFile}} --state-dir "$state" --json \
  --shards {{.Shards}} --rate-shares {{.Parallelism}}
code=$?

case $code in
0 | 3) exit $code ;; # done, or done for today
2) # wrong configuration or refused token: every part would fail
	scancel "$SLURM_ARRAY_JOB_ID"
	exit 2 ;;
esac
if [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
