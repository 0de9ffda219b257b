// Package slurm runs the program as an array job of a real Slurm: make test-slurm starts a
// controller and three nodes on this machine, kills tasks and a node, and checks what was stored.
package slurm
