# SPDX-License-Identifier: Apache-2.0
"""status_check.py NAME: what the plugin's status says of that container on its first GPU, and what the driver counts
for its processes; one `key=value` a line, sizes in bytes.

The status is that of `docker volume inspect runai-status`; the driver's count is nvidia-smi's list of processes, in
whole MiB, of those processes that the engine has in the container.
"""

import json
import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


name = sys.argv[1]
status = json.loads(output("docker", "volume", "inspect", "runai-status", "--format", "{{json .Status}}"))
row = next(container for container in status["Containers"] if container["Name"] == name)
gpu = row["Gpus"][0]
counted = 0
for line in output("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits").splitlines():
    pid, used = line.split(", ")
    with open(f"/proc/{pid}/cgroup") as file:
        if row["Id"] in file.read():
            counted += int(used) << 20
print(f"state={row['State']}")
print(f"used={gpu['UsedBytes']}")
print(f"counted={counted}")
print(f"apart={abs((gpu['UsedBytes'] or 0) - counted)}")
print(f"limit={gpu['LimitBytes']}")
print(f"percent={gpu['GpuPercent']}")
print(f"refused={gpu['Refused']}")
print(f"last_refused={gpu['LastRefusedBytes']}")
