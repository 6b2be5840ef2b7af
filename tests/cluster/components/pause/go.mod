module joulebench.dev/joulebench/tests/cluster/components/pause

go 1.26.0
