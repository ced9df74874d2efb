"""Offline tools: evaluation, calibration and load tests. They use the parts of the service and never import `api`."""
