package kubernetes

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/internal/enginetest"
)

// jobOf is the Job that deploy kubernetes --backfill prints, with a process instead of the image and its mounts.
func jobOf(t *testing.T, name string, a *enginetest.Account, shards, parallelism int32) *batchv1.Job {
	t.Helper()
	job := printed(t, a.Program, parallelism)
	job.ObjectMeta = metav1.ObjectMeta{Name: name}
	job.Spec.Completions, job.Spec.MaxFailedIndexes = new(shards), new(shards)
	pod := &job.Spec.Template.Spec
	if *job.Spec.Parallelism != parallelism || len(pod.Containers) != 1 {
		t.Fatalf("printed: parallelism %d, %d containers", *job.Spec.Parallelism, len(pod.Containers))
	}
	*pod = corev1.PodSpec{
		RestartPolicy: pod.RestartPolicy,
		Containers: []corev1.Container{{
			Name: pod.Containers[0].Name, Image: "process", Command: []string{a.Program},
			Args: append(a.Archive(), "--shards", strconv.Itoa(int(shards))), Env: variables(a.Env()),
		}},
	}
	return job
}

// printed returns the Job among the objects that deploy prints.
func printed(t *testing.T, program string, parallelism int32) *batchv1.Job {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "deploy", "kubernetes", "--backfill", "--parallelism", strconv.Itoa(int(parallelism)),
		"--image", "registry.example.com/convoso-archiver:1", "--dest", "s3://my-bucket/calls", "--s3-region", "us-east-1",
		"--start-time", "2025-01-01", "--end-time", "2025-12-31").Output()
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
	for {
		var job batchv1.Job
		if err := decoder.Decode(&job); err != nil {
			t.Fatalf("there is no Job: %v", err)
		}
		if job.Kind == "Job" {
			return &job
		}
	}
}

func variables(environ []string) (list []corev1.EnvVar) {
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, corev1.EnvVar{Name: name, Value: value})
	}
	return list
}

// submit creates a Job.
func submit(t *testing.T, client *kubernetes.Clientset, job *batchv1.Job) {
	t.Helper()
	if _, err := client.BatchV1().Jobs(metav1.NamespaceDefault).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// ended returns the state of a Job once it is complete or has failed, nil until then.
func ended(ctx context.Context, client *kubernetes.Clientset, name string) (*batchv1.Job, *batchv1.JobCondition) {
	job, err := client.BatchV1().Jobs(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, nil
	}
	for i, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return job, &job.Status.Conditions[i]
		}
	}
	return nil, nil
}

// finish waits for the end of a Job.
func finish(t *testing.T, client *kubernetes.Clientset, k *kubelet, name string) (job *batchv1.Job, how *batchv1.JobCondition) {
	t.Helper()
	began := time.Now()
	for job == nil {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("the Job %s has not ended\n%s", name, k.said())
		}
		time.Sleep(200 * time.Millisecond)
		job, how = ended(t.Context(), client, name)
	}
	return job, how
}

// running returns the process of the program that works on an index, 0 for none.
func running(a *enginetest.Account, index int) int {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && a.Variable(pid, "JOB_COMPLETION_INDEX") == strconv.Itoa(index) {
			return pid
		}
	}
	return 0
}

func build(t *testing.T) string { return enginetest.Build(t, filepath.Join("..", "..")) }

// TestIndexedJob runs one Job: a process is killed, and its index is run again; a recording is
// unavailable, so its index fails without a retry, and the Job of the next day archives the rest.
func TestIndexedJob(t *testing.T) {
	const shards, parallelism, killed = 7, 4, 2
	a := enginetest.New(t, build(t), 3*shards, 40, 100*time.Millisecond)
	client := start(t)
	k := startKubelet(t, client)
	broken, failing := "", ""
	for r := range a.Recordings() {
		if failing = a.ShardOf(r.Day, shards); failing != strconv.Itoa(killed) {
			broken = r.Ref
			break
		}
	}
	if err := a.SetFault(broken, convosotest.FaultServer, 0); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	submit(t, client, jobOf(t, "first", a, shards, parallelism))
	await(t, time.Minute, "the index to be killed", func(context.Context) bool { return running(a, killed) > 0 })
	time.Sleep(3 * time.Second) // it has stored lines by then, at 1 and 2 s
	if err := syscall.Kill(running(a, killed), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	before, _ := a.Noted(t)
	job, how := finish(t, client, k, "first")
	t.Logf("%d noted at the kill; the Job ended after %v: %s, completed %s, failed %s, %d pods", len(before),
		time.Since(began).Round(time.Second), how.Reason, job.Status.CompletedIndexes, *job.Status.FailedIndexes, k.begun)
	if how.Type != batchv1.JobFailed || how.Reason != batchv1.JobReasonFailedIndexes || *job.Status.FailedIndexes != failing {
		t.Errorf("%s (%s), failed indexes %s, want %s alone\n%s", how.Type, how.Reason, *job.Status.FailedIndexes, failing, k.said())
	}
	if k.begun != shards+1 {
		t.Errorf("%d pods, want one for each index and one more for that which was killed", k.begun)
	}
	a.CheckStored(t, broken)

	a.ClearFaults()
	submit(t, client, jobOf(t, "second", a, shards, parallelism))
	if _, how = finish(t, client, k, "second"); how.Type != batchv1.JobComplete {
		t.Errorf("%s (%s): %s\n%s", how.Type, how.Reason, how.Message, k.said())
	}
	a.CheckStored(t)
	a.CheckReport(t)
	t.Logf("%d recordings were asked for more than once", a.CheckRequests(t, before))
}

// TestWrongToken runs a Job of 1,000 indexes with a token that the API refuses: the first index that sees
// the refusal ends the Job.
func TestWrongToken(t *testing.T) {
	const shards, parallelism = 1000, 8
	a := enginetest.New(t, build(t), shards, 1, 50*time.Millisecond)
	client := start(t)
	k := startKubelet(t, client)
	a.SetTokenValid(false)
	submit(t, client, jobOf(t, "refused", a, shards, parallelism))
	await(t, time.Minute, "the first request", func(context.Context) bool { return a.Stats().API.Requests > 0 })
	began := time.Now()
	job, how := finish(t, client, k, "refused")
	lasted := time.Since(began)
	t.Logf("stopped %v after the first request: %s; %d requests, %d pods", lasted.Round(100*time.Millisecond), how.Reason, a.Stats().API.Requests, k.begun)
	if how.Type != batchv1.JobFailed || how.Reason != batchv1.JobReasonPodFailurePolicy || job.Status.Active > 0 {
		t.Errorf("%s (%s), %d active\n%s", how.Type, how.Reason, job.Status.Active, k.said())
	}
	if lasted > 10*time.Second {
		t.Errorf("the Job stopped after %v", lasted)
	}
	if n := a.Stats().API.Requests; n > parallelism {
		t.Errorf("%d requests of %d workers", n, parallelism)
	}
}
