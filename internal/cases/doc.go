// Package cases holds, as end-to-end tests of the built program, the inputs on which it once did the
// wrong thing, each with the right result, and further inputs of the same kinds.
package cases
