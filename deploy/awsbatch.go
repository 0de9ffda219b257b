// Makes the files for AWS Batch.

package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type object = map[string]any

// AWSBatch returns a job definition, an array job, and the commands that submit both to AWS.
func AWSBatch(o Options) ([]File, error) {
	name := o.Name + "-backfill"
	command := []string{"archive"}
	for _, flag := range o.Flags {
		command = append(command, flag...)
	}
	command = append(command, "--state-dir", "/tmp/convoso-archiver", "--json",
		"--shards", strconv.Itoa(o.Shards), "--rate-shares", strconv.Itoa(o.Parallelism))
	definition, err := document(object{
		"jobDefinitionName":    name,
		"type":                 "container",
		"platformCapabilities": []string{"FARGATE"},
		"containerProperties": object{
			"image":   o.Image,
			"command": command,
			"secrets": []object{{"name": "CONVOSO_AUTH_TOKEN", "valueFrom": o.TokenSecret}},
			// The execution role reads the image and the token, the job role writes to the bucket.
			"executionRoleArn":     o.Role,
			"jobRoleArn":           o.Role,
			"resourceRequirements": fargate(o.MemoryMiB),
			"networkConfiguration": object{"assignPublicIp": "ENABLED"},
		},
		"retryStrategy": object{"attempts": 4, "evaluateOnExit": []object{
			{"onExitCode": "2", "action": "EXIT"}, // configuration error, or refused token
			{"onExitCode": "3", "action": "EXIT"}, // done for today; other codes are retried
		}},
	})
	if err != nil {
		return nil, err
	}
	job, err := document(object{
		"jobName": name, "jobQueue": o.JobQueue, "jobDefinition": name,
		"arrayProperties": object{"size": o.Shards},
	})
	if err != nil {
		return nil, err
	}
	script, err := render("aws-batch.sh", o)
	if err != nil {
		return nil, err
	}
	return []File{
		{Name: "job-definition.json", Use: "the container; submit.sh registers it", Text: definition, Mode: readable},
		{Name: "job.json", Use: "the array of jobs; submit.sh submits it", Text: job, Mode: readable},
		{Name: "submit.sh", Use: "run this script with the credentials of AWS", Text: script, Mode: executable},
	}, nil
}

// fargate returns the smallest size of Fargate that has the memory.
func fargate(memoryMiB int) []object {
	sizes := []int{512, 1024, 2048} // sizes available with a quarter of a CPU
	i := slices.IndexFunc(sizes, func(size int) bool { return size >= memoryMiB })
	if i < 0 {
		i = len(sizes) - 1
	}
	return []object{{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": strconv.Itoa(sizes[i])}}
}

func document(o object) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(o); err != nil {
		return "", fmt.Errorf("encode a document of AWS Batch: %w", err)
	}
	return b.String(), nil
}
