"""Pipelines over more data than fits in memory: rows of files in, rows of files out."""
