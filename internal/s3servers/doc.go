// Package s3servers tests the program and the store on S3 servers that are not part of the daily
// tests: make test-s3 starts each of them, with plain buckets and with buckets that keep versions,
// and ends with a table.
package s3servers
