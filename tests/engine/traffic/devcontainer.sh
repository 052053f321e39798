#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# devcontainer.sh NODE CLI: an ordinary session of what VS Code's Dev Containers runs: a container from an image, which
# is built anew for its user's UID; one from a Dockerfile, with a feature; one with a quota. DOCKER_HOST names the
# engine, which has the image gpu-demo.
set -eux
devcontainer="$1 $2"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
use() { cd "$work/$1" && chown -R 1000:1000 . && up="$devcontainer up --workspace-folder ."; }
configuration() {
    mkdir -p "$work/$1/.devcontainer"
    cat >"$work/$1/.devcontainer/devcontainer.json"
}

configuration image <<'EOF'
{
    "name": "image", "image": "gpu-demo", "runArgs": ["--network", "none", "--hostname", "host"], "remoteUser": "user",
    "containerEnv": { "A": "b" }, "remoteEnv": { "X": "y" },
    "mounts": ["type=volume,source=kept,target=/kept", { "type": "tmpfs", "target": "/scratch" }],
    "init": true, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"],
    "onCreateCommand": "echo hello >/tmp/created", "postStartCommand": ["true"],
    "postAttachCommand": { "a": "true", "b": ["true"] }, "shutdownAction": "none"
}
EOF
use image
$devcontainer read-configuration --workspace-folder . --include-merged-configuration >/dev/null
$up
test "$($devcontainer exec --workspace-folder . sh -c 'echo $X $A; cat /tmp/created')" = "y b
hello"
$devcontainer exec --workspace-folder . touch made
test -e made
$devcontainer run-user-commands --workspace-folder .
docker stop -t 0 "$(docker ps -q)"
$up --log-level trace
$up --remove-existing-container

configuration build <<'EOF'
{
    "build": { "dockerfile": "Dockerfile", "args": { "W": "z" }, "options": ["--network", "none"] },
    "runArgs": ["--network", "none"], "features": { "./feature": { "word": "there" } },
    "workspaceMount": "", "workspaceFolder": "/", "overrideCommand": true
}
EOF
use build
printf 'FROM gpu-demo\nARG W=x\nENV W=$W\n' >.devcontainer/Dockerfile
mkdir .devcontainer/feature
cat >.devcontainer/feature/devcontainer-feature.json <<'EOF'
{
    "id": "feature", "version": "1.0.0", "containerEnv": { "FEATURE": "yes" },
    "options": { "word": { "type": "string", "default": "" } }
}
EOF
printf '#!/bin/sh\necho $WORD >/feature\n' >.devcontainer/feature/install.sh
$devcontainer build --workspace-folder . --image-name built:1 --buildkit never
$up --buildkit never
test "$($devcontainer exec --workspace-folder . sh -c 'echo $W $FEATURE; cat /feature')" = "z yes
there"

# A development container with a quota sees it; without the volume the CLI prints what to add.
configuration gpu <<'EOF'
{
    "image": "gpu-demo", "runArgs": ["--network", "none", "--label", "gpu-memory=0.1"],
    "hostRequirements": { "gpu": true },
    "mounts": ["type=volume,source=runai,target=/runai"]
}
EOF
use gpu
$up --gpu-availability all
test "$($devcontainer exec --workspace-folder . \
    nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits)" = 1098
sed -i '/mounts/d' .devcontainer/devcontainer.json
if $up --gpu-availability all --remove-existing-container >refused 2>&1; then exit 1; fi
grep -q 'add -v runai:/runai' refused
echo 'nothing was refused'
