"""Some Ray nodes on this machine, as the multi-node test has them: `python ray_nodes.py NODES`.

The first is the head, which has no CPU for workers.  Prints where they are and the process of each raylet, then waits
until its input ends.  Everything listens on the loopback alone.
"""

import json
import os
import sys

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's name for: listen on the loopback alone
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    here = {"node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**here, "num_cpus": 0})
    nodes = [cluster.add_node(node_ip_address="127.0.0.1", num_cpus=1) for _ in range(int(sys.argv[1]) - 1)]
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    sys.stdout.write(json.dumps({"address": cluster.address, "raylets": raylets}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()
