// Package kubernetes runs the program as an Indexed Job on a real control plane of Kubernetes: etcd,
// API server, controller manager and scheduler, built from Go modules. Pods are run as processes by a
// small kubelet of this package. It is a separate module, because Kubernetes has hundreds of modules
// that the program does not need: make test-kubernetes builds the components and runs it.
package kubernetes
