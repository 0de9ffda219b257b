package cases

// marks names the examples that fail today, with what the program does instead. One that passes is an
// error: delete its line.
var marks = map[string]string{}
