"""What a BenchmarkRun becomes on a cluster: preflight, servers, the runner's Job, and a status that tells of it."""
