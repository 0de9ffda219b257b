package engines

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
)

const image = "registry.example.com:5000/team/convoso-archiver:1.0.0"

func TestKubernetes(t *testing.T) {
	nightly := []string{"kubernetes", "--image", image, "--last", "7d"}
	backfill := []string{"kubernetes", "--backfill", "--image", image, "--start-time", "2023-01-01", "--dest", "s3://my-bucket/calls"}
	const role = "arn:aws:iam::123456789012:role/archiver"
	common := []string{"ServiceAccount", "ConfigMap", "NetworkPolicy"}
	for name, c := range map[string]struct {
		arguments []string
		kinds     []string // beside the common ones
	}{
		"bucket":               {slices.Concat(nightly, []string{"--dest", "s3://my-bucket/calls"}), []string{"CronJob"}},
		"folder":               {slices.Concat(nightly, []string{"--dest", "/archive", "--volume-size", "2Ti"}), []string{"PersistentVolumeClaim", "CronJob"}},
		"role":                 {slices.Concat(nightly, []string{"--dest", "s3://my-bucket/calls", "--role", role}), []string{"CronJob"}},
		"all of nightly":       {slices.Concat(nightly, awkward(), []string{"--dest", "s3://my-bucket/calls", "--s3-endpoint", "http://minio.storage.svc:9000", "--s3-path-style", "--s3-credentials-file", "creds", "--token-secret", "vendor.token", "--name", "second-archive", "--at", "00:07", "--time-zone", "America/New_York", "--max-duration", "20h"}), []string{"CronJob"}},
		"the longest name":     {slices.Concat(nightly, []string{"--dest", "/archive", "--name", strings.Repeat("n", 30)}), []string{"PersistentVolumeClaim", "CronJob"}},
		"backfill":             {backfill, []string{"Job"}},
		"one run at once":      {slices.Concat(backfill, []string{"--parallelism", "1"}), []string{"Job"}},
		"all of backfill":      {slices.Concat(backfill, awkward(), []string{"--parallelism", "600", "--end-time", "2025-05-31", "--s3-credentials-file", "creds", "--role", role}), []string{"Job"}},
		"backfill, long named": {slices.Concat(backfill, []string{"--name", strings.Repeat("n", 30)}), []string{"Job"}},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds []string
			for _, text := range deploy(t, c.arguments...) {
				for document := range strings.SplitSeq(text, "\n---\n") {
					kind, problems := validate(document)
					kinds = append(kinds, kind)
					for _, problem := range problems {
						t.Errorf("%s: %s\n%s", kind, problem, document)
					}
				}
			}
			if want := slices.Concat(common, c.kinds); !slices.Equal(kinds, want) {
				t.Errorf("kinds %v, want %v", kinds, want)
			}
		})
	}
}

// The validation finds mistakes of each kind that it is here for.
func TestValidateFindsMistakes(t *testing.T) {
	nightly := deploy(t, "kubernetes", "--image", image, "--last", "7d", "--dest", "s3://my-bucket/calls")["convoso-archiver.yaml"]
	backfill := deploy(t, "kubernetes", "--backfill", "--image", image, "--start-time", "2023-01-01", "--dest", "s3://my-bucket/calls")["convoso-archiver-backfill.yaml"]
	for _, c := range []struct{ text, old, broken, finding string }{
		{nightly, "automountServiceAccountToken: false\n---", "automountToken: false\n---", "unknown field"},
		{nightly, `schedule: "15 3 * * *"`, `schedule: "15 25 * * *"`, "schedule"},
		{nightly, "timeZone: America/Los_Angeles", "timeZone: America/Nowhere", "timeZone"},
		{nightly, "policyTypes: [Ingress, Egress]", "policyTypes: [Egres]", "policyTypes"},
		{nightly, "archive.yaml: |", `"archive/yaml": |`, "data"},
		{nightly, "mountPath: /state}", "mountPath: /etc/convoso-archiver}", "must be unique"},
		{backfill, "podReplacementPolicy: Failed", "podReplacementPolicy: TerminatingOrFailed", "podReplacementPolicy"},
		{backfill, "restartPolicy: Never", "restartPolicy: OnFailure", "restartPolicy"},
		{backfill, "maxFailedIndexes: 67", "maxFailedIndexes: 68", "maxFailedIndexes"},
	} {
		if !strings.Contains(c.text, c.old) {
			t.Errorf("the file does not hold %q:\n%s", c.old, c.text)
			continue
		}
		var found []string
		for document := range strings.SplitSeq(strings.Replace(c.text, c.old, c.broken, 1), "\n---\n") {
			_, problems := validate(document)
			found = append(found, problems...)
		}
		if !strings.Contains(strings.Join(found, "\n"), c.finding) {
			t.Errorf("%s: found %q", c.broken, found)
		}
	}
}

// validate creates an object as the API server does up to the point where it would be stored: it decodes
// strictly, fills in defaults, validates, and asks for warnings.
func validate(document string) (kind string, problems []string) {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder(
		core.SchemeGroupVersion, batch.SchemeGroupVersion, networking.SchemeGroupVersion) // the server's own form
	object, found, err := decoder.Decode([]byte(document), nil, nil)
	if err != nil {
		return "?", []string{fmt.Sprintf("decode: %v", err)}
	}
	strategies := map[string]rest.RESTCreateStrategy{
		"ConfigMap": configmap.Strategy, "CronJob": cronjob.Strategy, "Job": job.Strategy, "NetworkPolicy": networkpolicy.Strategy,
		"PersistentVolumeClaim": persistentvolumeclaim.Strategy, "ServiceAccount": serviceaccount.Strategy,
	}
	strategy, ok := strategies[found.Kind]
	if !ok {
		return found.Kind, []string{"no strategy for this kind"}
	}
	ctx := request.WithRequestInfo(request.WithNamespace(context.Background(), "default"),
		&request.RequestInfo{APIGroup: found.Group, APIVersion: found.Version})
	if o, err := meta.Accessor(object); err == nil {
		rest.FillObjectMetaSystemFields(o)
	}
	warnings := strategy.WarningsOnCreate(ctx, object)
	if err := rest.BeforeCreate(strategy, ctx, object); err != nil {
		problems = append(problems, err.Error())
	}
	return found.Kind, append(problems, warnings...)
}
