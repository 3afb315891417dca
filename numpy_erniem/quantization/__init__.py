"""Weights in eight or sixteen bits: what they are, what they compute, and what they cost."""
