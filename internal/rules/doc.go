// Package rules holds the project's structure to its rules by tests alone: which
// package may import which, and what every source file must have or must not. It
// has no code of its own; each checker is tested on samples that break its rule.
package rules
