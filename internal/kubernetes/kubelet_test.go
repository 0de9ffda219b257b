package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const nodeName = "this-machine"

// kubelet runs the pods of one node: each container as a process of this machine.
type kubelet struct {
	t      *testing.T
	client *kubernetes.Clientset

	mu    sync.Mutex
	pods  map[types.UID]*exec.Cmd
	begun int // pods so far
	logs  map[string]*bytes.Buffer
}

// startKubelet adds the node, and runs the pods bound to it until the test ends.
func startKubelet(t *testing.T, client *kubernetes.Clientset) *kubelet {
	t.Helper()
	k := &kubelet{t: t, client: client, pods: map[types.UID]*exec.Cmd{}, logs: map[string]*bytes.Buffer{}}
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("200"),
	}
	node, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test"}},
	}
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			k.look(ctx, &running)
			time.Sleep(100 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		stop()
		k.mu.Lock()
		for _, cmd := range k.pods {
			_ = cmd.Process.Kill() // it may have ended
		}
		k.mu.Unlock()
		running.Wait()
	})
	return k
}

// look starts new pods, and stops deleted ones.
func (k *kubelet) look(ctx context.Context, running *sync.WaitGroup) {
	pods, err := k.client.CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + nodeName})
	if err != nil {
		return // at the end of the test, or the next call finds them
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range pods.Items {
		pod := &pods.Items[i]
		cmd, known := k.pods[pod.UID]
		switch {
		case known && pod.DeletionTimestamp != nil:
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		case !known && pod.Status.Phase == corev1.PodPending:
			if cmd, err = k.start(ctx, pod, running); err != nil {
				k.t.Errorf("start pod %s: %v", pod.Name, err)
				continue
			}
			k.pods[pod.UID] = cmd
			k.begun++
		}
	}
}

// start starts the process of a pod, and reports its end.
func (k *kubelet) start(ctx context.Context, pod *corev1.Pod, running *sync.WaitGroup) (*exec.Cmd, error) {
	container := pod.Spec.Containers[0]
	cmd := exec.Command(container.Command[0], append(container.Command[1:], container.Args...)...)
	cmd.Env = []string{"HOME=" + k.t.TempDir()} // no state of another pod
	for _, variable := range container.Env {
		value := variable.Value
		if variable.ValueFrom != nil && variable.ValueFrom.FieldRef != nil {
			value = fieldOf(pod, variable.ValueFrom.FieldRef.FieldPath)
		}
		cmd.Env = append(cmd.Env, variable.Name+"="+value)
	}
	said := &bytes.Buffer{}
	k.logs[pod.Name] = said
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	running.Go(func() {
		began := metav1.Now()
		k.tell(ctx, pod, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}})
		_ = cmd.Wait() // the exit code is reported
		code, phase := cmd.ProcessState.ExitCode(), corev1.PodSucceeded
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
			code = 128 + int(status.Signal())
		}
		if code != 0 {
			phase = corev1.PodFailed
		}
		k.tell(ctx, pod, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: "Ended", StartedAt: began, FinishedAt: metav1.Now(),
		}})
		now := int64(0)
		if seen, err := k.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{}); err == nil && seen.DeletionTimestamp != nil {
			_ = k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}) // it may already be deleted
		}
	})
	return cmd, nil
}

// tell reports the state of a pod's one container.
func (k *kubelet) tell(ctx context.Context, pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	status := map[string]any{"status": corev1.PodStatus{
		Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: state}},
	}}
	patch, err := json.Marshal(status)
	if err == nil {
		_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil && ctx.Err() == nil {
		k.t.Errorf("tell the state of pod %s: %v", pod.Name, err)
	}
}

// fieldOf returns a label or an annotation of a pod, the only fields that a Job uses.
func fieldOf(pod *corev1.Pod, path string) string {
	for prefix, from := range map[string]map[string]string{"metadata.annotations['": pod.Annotations, "metadata.labels['": pod.Labels} {
		if name, found := strings.CutPrefix(path, prefix); found {
			return from[strings.TrimSuffix(name, "']")]
		}
	}
	return ""
}

// said returns the output of the last pods.
func (k *kubelet) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all strings.Builder
	for name, log := range k.logs {
		text := log.String()
		all.WriteString(name + ": " + text[max(0, len(text)-600):] + "\n")
	}
	return all.String()
}
