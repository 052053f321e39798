#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cli.sh DOCKER COMPOSE: an ordinary session of a docker client, with and without Compose, in which nothing needs a GPU.
# DOCKER_HOST names the engine, which has the image gpu-demo. Stops at what is refused.
set -eux
docker=$1 compose=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
net=--network=none

$docker version
$docker info
$docker system df
$docker images
$docker tag gpu-demo other:tag
$docker save -o image.tar other:tag
$docker rmi other:tag
$docker load -i image.tar
$docker history gpu-demo
$docker image inspect gpu-demo

$docker volume create --label a=b data
$docker volume create -d local -o type=tmpfs -o device=tmpfs -o o=size=10m fast
$docker volume inspect data
$docker network create --internal inner
$docker network inspect inner

$docker run --rm $net gpu-demo echo fine
$docker run -d --name full --hostname host --network none --user 1000:1000 --workdir /tmp --env A=b --label c=d \
    --memory 64m --cpus 0.5 \
    --cpu-shares 100 --pids-limit 50 --ulimit nofile=100:200 --tmpfs /scratch:size=1m -v data:/data \
    -v "$work:/host:ro" --mount type=volume,src=fast,dst=/fast \
    --mount type=tmpfs,dst=/other -v /anonymous --cap-add NET_ADMIN --cap-drop CHOWN --security-opt no-new-privileges \
    --sysctl kernel.shm_rmid_forced=1 \
    --shm-size 8m --restart on-failure:2 --stop-signal KILL --stop-timeout 1 --log-driver json-file \
    --log-opt max-size=1m --dns 10.0.0.1 \
    --add-host a:10.0.0.2 --init=false --read-only --ipc private --device /dev/null:/dev/nothing --group-add 1 \
    --oom-score-adj 10 --blkio-weight 0 \
    --health-cmd true --health-interval 30s --expose 80 --entrypoint sleep gpu-demo 300
$docker ps -a --filter label=c=d
$docker exec full id
$docker exec -e X=y -w / -u 0 full sh -c 'test "$X" = y'
$docker top full
$docker logs full
$docker inspect full
$docker stats --no-stream full
$docker port full
$docker diff full
$docker update --memory 80m --memory-swap 160m --restart no full
$docker rename full fuller
$docker pause fuller
$docker unpause fuller
$docker restart -t 0 fuller
$docker kill fuller
$docker wait fuller
$docker start fuller
$docker stop -t 0 fuller
$docker rm -v fuller

$docker create -i --name copied $net gpu-demo sh -c 'cat /tmp/file'
echo hello >file
$docker cp file copied:/tmp/file
test "$(echo | $docker start -ai copied)" = hello
$docker cp copied:/tmp/file back
cmp file back
$docker commit -m words -c 'ENV X=y' -c 'LABEL l=m' copied made:1
$docker export copied >copied.tar
$docker import copied.tar imported
test "$($docker run --rm $net made:1 sh -c 'echo $X')" = y
test "$(echo in | $docker run -i --rm $net gpu-demo cat)" = in
$docker run --rm $net --volumes-from copied gpu-demo true
$docker run --rm $net --privileged=false --cap-add SYS_NICE --security-opt seccomp=unconfined gpu-demo true
$docker run --rm --network host --pid host gpu-demo true
$docker run --rm $net -v /tmp:/x -v /usr/share:/share:ro gpu-demo ls /share >/dev/null
if $docker run --rm $net gpu-demo sh -c 'exit 3'; then exit 1; fi
$docker rm copied

printf 'FROM gpu-demo\nARG W=x\nLABEL built=yes\nCOPY file /tmp/built\nRUN cat /tmp/built\nCMD ["cat","/tmp/built"]\n' \
    >Dockerfile
DOCKER_BUILDKIT=0 $docker build --network none --build-arg W=z -t built .
test "$($docker run --rm $net built)" = hello

if [ -n "$compose" ]; then
    cat >compose.yaml <<EOF
services:
  one:
    image: gpu-demo
    command: ["sleep", "300"]
    network_mode: none
    stop_signal: KILL
    labels: { a: b }
    environment: { A: b }
    volumes: [ "kept:/kept", "./file:/file:ro" ]
    tmpfs: [ /scratch ]
    mem_limit: 64m
    healthcheck: { test: ["CMD", "true"], interval: 1s }
    configs: [ settings ]
  two:
    image: gpu-demo
    command: ["sleep", "300"]
    network_mode: none
    stop_signal: KILL
    depends_on: { one: { condition: service_healthy } }
    deploy: { replicas: 2, resources: { limits: { memory: 64m } } }
configs: { settings: { file: ./file } }
volumes: { kept: {} }
EOF
    $compose config -q
    $compose -p session up -d
    $compose -p session ps -a
    test "$($compose -p session exec -T one cat /file)" = hello
    test "$($compose -p session run --rm -T two echo run)" = run
    $compose -p session up -d --scale two=1 --force-recreate
    $compose -p session logs
    $compose -p session cp file one:/tmp/x
    $compose -p session restart -t 0
    $compose -p session stop -t 0
    $compose -p session start
    $compose -p session down -v -t 0
fi

$docker network rm inner
$docker volume rm data fast
$docker rmi made:1 imported built other:tag
$docker container prune -f
$docker volume prune -f
$docker image prune -f
$docker system prune -f
$docker events --since 1m --until "$(date +%s)" >/dev/null
