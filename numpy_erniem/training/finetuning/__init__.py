"""Fine-tuning: classification, tagging and retrieval."""
