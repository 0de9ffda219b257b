package engines

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/batch"
)

// TestAWSBatch passes the printed files to the AWS client: it refuses incomplete ones, and its request must
// equal the file, so that every field is known to the API.
func TestAWSBatch(t *testing.T) {
	arguments := []string{
		"aws-batch", "--image", image, "--dest", "s3://my-bucket/calls", "--start-time", "2023-01-01", "--job-queue", "backfill",
		"--token-secret", "arn:aws:secretsmanager:us-east-1:123456789012:secret:convoso-AbCdEf", "--role", "arn:aws:iam::123456789012:role/archiver",
	}
	for name, more := range map[string][]string{
		"plain": nil, "all": append(awkward(), "--parallelism", "600", "--end-time", "2025-05-31"),
	} {
		t.Run(name, func(t *testing.T) {
			files := deploy(t, slices.Concat(arguments, more)...)
			var definition batch.RegisterJobDefinitionInput
			decodeStrictly(t, files["job-definition.json"], &definition)
			sent := &captured{}
			client := batch.New(batch.Options{Region: "us-east-1", HTTPClient: sent})
			if _, err := client.RegisterJobDefinition(t.Context(), &definition); !errors.Is(err, errCaptured) {
				t.Error(err)
			}
			sent.compare(t, files["job-definition.json"])

			var job batch.SubmitJobInput
			decodeStrictly(t, files["job.json"], &job)
			if _, err := client.SubmitJob(t.Context(), &job); !errors.Is(err, errCaptured) {
				t.Error(err)
			}
			sent.compare(t, files["job.json"])
			if size := *job.ArrayProperties.Size; size < 2 || size > 10_000 { // the API's bounds
				t.Errorf("an array of %d", size)
			}
			if *job.JobDefinition != *definition.JobDefinitionName {
				t.Errorf("the job is of %s, the definition is %s", *job.JobDefinition, *definition.JobDefinitionName)
			}
			checkShell(t, files["submit.sh"])
		})
	}
}

func decodeStrictly(t *testing.T, text string, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

var errCaptured = errors.New("captured")

// captured stores the last request instead of sending it.
type captured struct{ body []byte }

func (c *captured) Do(r *http.Request) (*http.Response, error) {
	var err error
	if c.body, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	return nil, errCaptured
}

func (c *captured) compare(t *testing.T, printed string) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal(c.body, &got); err != nil {
		t.Fatalf("%v\n%s", err, c.body)
	}
	if err := json.Unmarshal([]byte(printed), &want); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the client sends\n%s\nprinted was\n%s", c.body, printed)
	}
}
