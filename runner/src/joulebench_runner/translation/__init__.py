"""What a benchmark's fields mean to the processes of a run: the same on a laptop and in a pod."""
