#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compose1.sh: an ordinary session of the first Compose (docker-compose 1.29, in Python), and of a service with a quota.
# DOCKER_HOST names the engine, which has the image gpu-demo.
set -eux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo hello >file
printf 'FROM gpu-demo\nARG W=x\nCOPY file /tmp/built\nRUN cat /tmp/built\nCMD ["cat","/tmp/built"]\n' >Dockerfile
cat >docker-compose.yml <<'EOF'
version: "2.4"
services:
  one:
    image: gpu-demo
    command: ["sleep", "300"]
    network_mode: none
    stop_signal: KILL
    labels: { a: b }
    environment: { A: b }
    volumes: [ "kept:/kept", "./file:/file:ro", "/anonymous" ]
    tmpfs: [ /scratch ]
    mem_limit: 64m
    cpus: 0.5
    cap_add: [ NET_ADMIN ]
    ulimits: { nofile: { soft: 100, hard: 200 } }
    healthcheck: { test: ["CMD", "true"], interval: 1s }
    logging: { driver: json-file, options: { max-size: 1m } }
  two:
    image: gpu-demo
    command: ["sleep", "300"]
    network_mode: none
    stop_signal: KILL
    depends_on: { one: { condition: service_healthy } }
    volumes_from: [ "one:ro" ]
    scale: 2
  built:
    build: { context: ., args: { W: z }, network: none }
    image: built:1
    network_mode: none
volumes: { kept: {} }
EOF
compose="docker-compose -p session"
$compose build built
test "$($compose run --rm -T built)" = hello
$compose up -d one two
$compose ps -a
test "$($compose exec -T one cat /file)" = hello
test "$($compose run --rm -T two echo run)" = run
# What engines from 25 on no longer say of images, this Compose needs to make a container anew.
case $(docker version --format '{{.Server.Version}}') in 2[0-4].*) $compose up -d --force-recreate two ;; esac
$compose up -d --scale two=1 one two
$compose logs --no-color
$compose top
$compose restart -t 0
$compose stop -t 0
$compose start
$compose down -v -t 0
docker rmi built:1

# A service with a quota sees it; without the volume Compose prints what to add.
mkdir gpu
cd gpu
cat >docker-compose.yml <<'EOF'
services:
  train:
    image: gpu-demo
    command: ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    network_mode: none
    labels: { gpu-memory: "0.1" }
    volumes: [ "runai:/runai" ]
    deploy: { resources: { reservations: { devices: [ { capabilities: [ gpu ], count: 1 } ] } } }
volumes: { runai: { external: true } }
EOF
$compose up --no-color train | grep -w 1098
$compose down
sed -i '/volumes: \[/d' docker-compose.yml
if $compose up --no-color train >refused 2>&1; then exit 1; fi
grep -q 'add "runai:/runai" to the volumes of the service' refused
echo 'nothing was refused'
