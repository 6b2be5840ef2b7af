"""A run on this machine: the same processes as in a runner pod, started, watched and stopped by one parent."""
