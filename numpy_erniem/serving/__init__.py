"""Pipelines over HTTP: requests in, batches of several requests to the model, responses out."""
