#!/bin/sh
# What runai-docker makes of a command line. A docker that prints its words, one in brackets each, stands in for the real one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cli=$here/../../cli/runai-docker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
printf '#!/bin/sh\nfor word in "$@"; do printf "[%%s]" "$word"; done\n' >"$work/docker"
chmod +x "$work/docker"
export RUNAI_DOCKER="$work/docker"

check() { # WHAT EXPECTED WORDS...
    what=$1 expected=$2
    shift 2
    got=$("$cli" "$@" 2>&1)
    if [ "$got" = "$expected" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n  expected %s\n  got      %s\n' "$what" "$expected" "$got"
    fi
}

quota='[-v][runai:/runai][--label][gpu-memory=0.5]'
check "the flag becomes volume and label" "[run][--gpus][1]$quota[ubuntu][nvidia-smi]" run --gpus 1 --gpu-memory 0.5 ubuntu nvidia-smi
check "with an equals sign" "[run]$quota[ubuntu]" run --gpu-memory=0.5 ubuntu
check "before other options" "[run]$quota[--rm][-it][ubuntu]" run --gpu-memory 0.5 --rm -it ubuntu
check "create" "[create]$quota[ubuntu]" create --gpu-memory 0.5 ubuntu
check "container run" "[container][run]$quota[ubuntu]" container run --gpu-memory 0.5 ubuntu
check "behind the image it is the program's" "[run][ubuntu][tool][--gpu-memory][0.5]" run ubuntu tool --gpu-memory 0.5
check "behind -- it is the image" "[run][--][--gpu-memory]" run -- --gpu-memory
check "as another option's value it is that" "[run][--name][--gpu-memory][ubuntu]" run --name --gpu-memory ubuntu
check "switches take no value" "[run][-d][--init][--read-only]$quota[ubuntu]" run -d --init --read-only --gpu-memory 0.5 ubuntu
check "a cluster whose last letter takes a value" "[run][-ite][A=1]$quota[ubuntu]" run -ite A=1 --gpu-memory 0.5 ubuntu
check "a cluster that holds its value" "[run][-itvdata:/data]$quota[ubuntu]" run -itvdata:/data --gpu-memory 0.5 ubuntu
check "words with blanks stay whole" "[run]$quota[ubuntu][sh][-c][a b  'c' \$d]" run --gpu-memory 0.5 ubuntu sh -c "a b  'c' \$d"
check "empty words stay" "[run][-e][]$quota[ubuntu][]" run -e "" --gpu-memory 0.5 ubuntu ""
check "global options before the command" "[-H][unix:///run][--debug][run]$quota[ubuntu]" -H unix:///run --debug run --gpu-memory 0.5 ubuntu
check "other commands pass" "[ps][-a][--filter][name=run]" ps -a --filter name=run
check "a missing value is said" "runai-docker: --gpu-memory needs a value: a fraction such as 0.5, or a size such as 3g" run --gpu-memory
check "the metadata of a CLI plugin" '{"SchemaVersion":"0.1.0","Vendor":"runai","Version":"0.1.0","ShortDescription":"Run containers with a part of the GPU memory (--gpu-memory)"}' docker-cli-plugin-metadata
DOCKER_CLI_PLUGINS=$work/plugins sh "$here/../../cli/get.sh" "$work/bin" >/dev/null
cli=$work/plugins/docker-runai
check "installed as docker runai" "[run]$quota[ubuntu]" runai run --gpu-memory 0.5 ubuntu
echo "$passed passed, $failed failed"
[ $failed = 0 ]
