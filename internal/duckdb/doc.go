// Package duckdb tests what export writes with an independent reader, DuckDB: Parquet, CSV and JSON Lines, and the
// views over an export and over an archive. It is a module of its own, for DuckDB is a C++ library of half a gigabyte
// that the program has no use for: make test-duckdb runs it.
package duckdb
