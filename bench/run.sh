#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make bench` runs: everything that can be measured without a GPU. On a real one: bench/shim/run.sh gpu.
set -euo pipefail
cd "$(dirname "$0")"
code=0
shim/run.sh sim || code=1
api/run.sh || code=1
api/run.sh --only status || code=1
exit $code
