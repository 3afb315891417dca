"""Tests of numpy_erniem.tokenizer."""
