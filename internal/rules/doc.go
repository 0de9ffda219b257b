// Package rules tests the structure of the project: which package may import which, and what every source
// file must or must not contain. It has no code of its own; each checker is tested on samples that break its
// rule.
package rules
