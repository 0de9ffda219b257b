// Package duckdb tests the output of export with an independent reader, DuckDB: Parquet, CSV and JSON Lines, and the
// views over an export and over an archive. It is a separate module, because DuckDB is a C++ library of half a
// gigabyte that the program does not need: make test-duckdb runs it.
package duckdb
