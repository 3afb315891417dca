"""Pre-training with MMLM, TLM, CAMLM and BTMLM."""
