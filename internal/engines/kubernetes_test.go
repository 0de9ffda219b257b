package engines

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
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

// The validation detects every relevant kind of mistake.
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

// validate decodes an object like the API server in strict mode, which sets defaults, and validates it like on
// creation.
func validate(document string) (kind string, problems []string) {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder(
		core.SchemeGroupVersion, batch.SchemeGroupVersion, networking.SchemeGroupVersion) // the server's own form
	object, found, err := decoder.Decode([]byte(document), nil, nil)
	if err != nil {
		return "?", []string{fmt.Sprintf("decode: %v", err)}
	}
	if o, err := meta.Accessor(object); err == nil {
		o.SetNamespace("default")
		o.SetUID("00000000-0000-0000-0000-000000000001")
	}
	var errors field.ErrorList
	switch o := object.(type) {
	case *batch.CronJob:
		errors = batchvalidation.ValidateCronJobCreate(o, pod.GetValidationOptionsFromPodTemplate(&o.Spec.JobTemplate.Spec.Template, nil))
	case *batch.Job:
		selectPods(o)
		errors = batchvalidation.ValidateJobCreate(o, batchvalidation.JobValidationOptions{
			PodValidationOptions: pod.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil), RequirePrefixedLabels: true,
		})
	case *core.ConfigMap:
		errors = corevalidation.ValidateConfigMap(o)
	case *core.ServiceAccount:
		errors = corevalidation.ValidateServiceAccount(o)
	case *core.PersistentVolumeClaim:
		errors = corevalidation.ValidatePersistentVolumeClaim(o, corevalidation.ValidationOptionsForPersistentVolumeClaimCreate())
	case *networking.NetworkPolicy:
		errors = networkvalidation.ValidateNetworkPolicy(o, networkvalidation.NetworkPolicyValidationOptions{})
	default:
		problems = append(problems, "no validation for this kind")
	}
	for _, e := range errors {
		problems = append(problems, e.Error())
	}
	return found.Kind, problems
}

// selectPods lets a job select its pods, like the server before validation.
func selectPods(o *batch.Job) {
	o.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batch.ControllerUidLabel: string(o.UID)}}
	for name, value := range map[string]string{
		batch.ControllerUidLabel: string(o.UID), batch.LegacyControllerUidLabel: string(o.UID),
		batch.JobNameLabel: o.Name, batch.LegacyJobNameLabel: o.Name,
	} {
		o.Spec.Template.Labels[name] = value
	}
}
