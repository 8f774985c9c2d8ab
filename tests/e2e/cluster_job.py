"""A driver for the head of a cluster of two: prints as JSON what each node has. Runs inside the image, from stdin."""

import importlib.metadata
import importlib.util
import json
import os
import socket
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

PACKAGES = ("ray", "pandas", "holidays", "scikit-learn", "joblib")


def describe():
    """What the node that runs this has."""
    from fraud import features

    versions = {dist.name: dist.version for dist in importlib.metadata.distributions() if dist.name in PACKAGES}
    return {
        "host": socket.gethostname(),
        "uid": os.getuid(),
        "code": features.__file__,
        "rows": len(features.features(features.synthetic_transactions(100, seed=1))),
        "sklearn": importlib.util.find_spec("sklearn") is not None,
        "versions": versions,
    }


ray.init(address="auto", log_to_driver=False)
deadline = time.monotonic() + 90
while (nodes := [node for node in ray.nodes() if node["Alive"]]) and len(nodes) < 2 and time.monotonic() < deadline:
    time.sleep(0.5)
there = {}
for node in nodes:
    role = "worker" if node["Resources"].get("CPU") else "head"
    strategy = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    there[role] = ray.get(ray.remote(num_cpus=0, scheduling_strategy=strategy)(describe).remote(), timeout=120)
print(json.dumps({"nodes": len(nodes), "roles": there}))
