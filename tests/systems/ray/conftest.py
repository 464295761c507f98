"""What runs on a cluster is a script, not a module of tests."""

collect_ignore = ["on_a_cluster.py"]
