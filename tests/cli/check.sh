#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What runai-docker makes of a command line. A docker that prints its words, one in brackets each, stands in for the
# real one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cli=$root/build/cli/runai-docker
[ -x "$cli" ] || { echo "build/cli/runai-docker is missing: run \`make cli\` first" && exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
printf '#!/bin/sh\nfor word in "$@"; do printf "[%%s]" "$word"; done\n' >"$work/docker"
chmod +x "$work/docker"
export RUNAI_DOCKER="$work/docker"

equal() { # WHAT EXPECTED GOT
    if [ "$3" = "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n  expected %s\n  got      %s\n' "$@"
    fi
}

check() { # WHAT EXPECTED WORDS...
    what=$1 expected=$2
    shift 2
    equal "$what" "$expected" "$("$cli" "$@" 2>&1)"
}

quota='[-v][runai:/runai][--label][gpu-memory=0.5]'
check "the flag becomes volume and label" "[run][--gpus][1]${quota}[ubuntu][nvidia-smi]" run --gpus 1 --gpu-memory 0.5 \
    ubuntu nvidia-smi
check "with an equals sign" "[run]${quota}[ubuntu]" run --gpu-memory=0.5 ubuntu
check "before other options" "[run]${quota}[--rm][-it][ubuntu]" run --gpu-memory 0.5 --rm -it ubuntu
check "create" "[create]${quota}[ubuntu]" create --gpu-memory 0.5 ubuntu
check "container run" "[container][run]${quota}[ubuntu]" container run --gpu-memory 0.5 ubuntu
check "behind the image it is the program's" "[run][ubuntu][tool][--gpu-memory][0.5]" run ubuntu tool --gpu-memory 0.5
check "the version is docker's" "[version]" version
check "so is the option" "[--version]" --version
check "behind -- it is the image" "[run][--][--gpu-memory]" run -- --gpu-memory
check "as another option's value it is that" "[run][--name][--gpu-memory][ubuntu]" run --name --gpu-memory ubuntu
check "switches take no value" "[run][-d][--init][--read-only]${quota}[ubuntu]" \
    run -d --init --read-only --gpu-memory 0.5 ubuntu
check "a cluster whose last letter takes a value" "[run][-ite][A=1]${quota}[ubuntu]" run -ite A=1 --gpu-memory 0.5 \
    ubuntu
check "a cluster that holds its value" "[run][-itvdata:/data]${quota}[ubuntu]" run -itvdata:/data --gpu-memory 0.5 \
    ubuntu
check "words with blanks stay whole" "[run]${quota}[ubuntu][sh][-c][a b  'c' \$d]" run --gpu-memory 0.5 ubuntu sh \
    -c "a b  'c' \$d"
check "empty words stay" "[run][-e][]${quota}[ubuntu][]" run -e "" --gpu-memory 0.5 ubuntu ""
check "global options before the command" "[-H][unix:///run][--debug][run]${quota}[ubuntu]" -H unix:///run \
    --debug run --gpu-memory 0.5 ubuntu
check "other commands pass" "[ps][-a][--filter][name=run]" ps -a --filter name=run
check "control characters of a word are printed as text" \
    "runai-docker: invalid value '\\u001b[2J' of --format: type table or json" gpus --format "$(printf '\033[2J')"
check "a missing value is said" \
    "runai-docker: --gpu-memory needs a value: a fraction such as 0.5, or a size such as 3g" run --gpu-memory
DOCKER_CLI_PLUGINS=$work/plugins sh "$root/cli/get.sh" "$work/bin" >/dev/null
cli=$work/plugins/docker-runai
version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' "$root/Directory.Build.props")
description='Run containers with a part of the GPU memory (--gpu-memory)'
check "the metadata of a CLI plugin, with the version that is built" \
    '{"SchemaVersion":"0.1.0","Vendor":"runai","Version":"'"$version"'","ShortDescription":"'"$description"'"}' \
    docker-cli-plugin-metadata
check "installed as docker runai" "[run]${quota}[ubuntu]" runai run --gpu-memory 0.5 ubuntu
check "docker's global options come before the plugin's name" \
    "[--context][X][-l][debug][--debug][-H=a][run]${quota}[ubuntu]" \
    --context X -l debug --debug -H=a runai run --gpu-memory 0.5 ubuntu
check "the option of docker's is docker's there too" "[--version]" runai --version
check "one that is called as the plugin" "[--context][runai][images]" --context runai runai images
check "a cluster of global options" "[-DH][unix:///run][run]${quota}[ubuntu]" -DH unix:///run runai \
    run --gpu-memory 0.5 ubuntu
check "completion is docker's, behind our option" "--gpu-memory	GPU memory quota, such as 0.5 or 3g
[__complete][run][--gp]" __complete runai run --gp
check "completion of the first word is docker's, behind our commands" "policy
ps
stats
gpus
exporter
doctor
version
completion
[__completeNoDesc][]" __completeNoDesc runai ""
check "help of docker's for a command of its own is docker's" "[help][images]" help runai images
check "only the plugin's name is dropped" "[exec][runai][ls]" runai exec runai ls
check "a container of that name" "[rm][runai]" runai rm runai
printf '#!/bin/sh\necho "unknown help topic: $2" >&2\nexit 1\n' >"$work/knowing"
chmod +x "$work/knowing"
unknown=$(RUNAI_DOCKER="$work/knowing" "$cli" runai nosuch 2>&1)
equal "a command that docker has not is named as it was typed" \
    "1 runai-docker: unknown command: docker runai nosuch" "$? $(echo "$unknown" | head -n 1)"
mkdir "$work/elsewhere"
(cd "$work/elsewhere" && DOCKER_CLI_PLUGINS=plugins sh "$root/cli/get.sh" bin >/dev/null)
cli=$work/elsewhere/plugins/docker-runai
check "installed into relative folders" "[images]" runai images

# By a user who may write to his home only. The files lie where he can read them.
chmod 0711 "$work"
mkdir -m 0777 "$work/home" "$work/cli"
mkdir -p "$work/build/cli"
cp "$root/cli/get.sh" "$work/cli/"
cp "$root/build/cli/runai-docker" "$work/build/cli/"
if [ "$(id -u)" = 0 ]; then unprivileged="setpriv --reuid 65534 --regid 65534 --clear-groups"; else unprivileged=; fi
$unprivileged env -u DOCKER_CONFIG -u DOCKER_CLI_PLUGINS HOME="$work/home" sh "$work/cli/get.sh" \
    >"$work/installed" 2>&1
cli=$work/home/.docker/cli-plugins/docker-runai
check "installed without root" "[images]" runai images
share=$work/home/.local/share
equal "what get.sh says then" \
    "runai-docker is in $work/home/.local/bin; docker runai is in $work/home/.docker/cli-plugins
to remove it: rm $work/home/.local/bin/runai-docker $work/home/.docker/cli-plugins/docker-runai \
$share/man/man1/runai-docker.1 $share/bash-completion/completions/runai-docker \
$share/zsh/site-functions/_runai-docker $share/fish/vendor_completions.d/runai-docker.fish
$work/home/.local/bin is not on your PATH: add it to call runai-docker by its name" "$(cat "$work/installed")"

equal "the man page has the version that is built" "1" \
    "$(grep -c "^.TH .*runai-docker $version\"" "$share/man/man1/runai-docker.1")"
HOME=$work/nothing sh "$work/cli/get.sh" --help >"$work/help"
equal "get.sh --help installs nothing and says how to remove it" "0 yes" \
    "$? $(grep -q 'To remove it' "$work/help" && [ ! -e "$work/nothing" ] && echo yes)"
mkdir "$work/release"
cp "$root/cli/get.sh" "$root/build/cli/runai-docker" "$work/release/"
DOCKER_CLI_PLUGINS=$work/release/plugins sh "$work/release/get.sh" "$work/release/bin" >/dev/null
cli=$work/release/plugins/docker-runai
check "installed from a release, without a checkout" "[images]" runai images
(cd "$work" && sh "$work/cli/get.sh" --prefix 2>"$work/help")
equal "an unknown option of get.sh is no folder" "2 get.sh: unknown option --prefix; --help says what there is" \
    "$? $(cat "$work/help")"

# Completion, beside a docker that prints what it is asked to complete after a candidate with a description.
printf '#!/bin/sh\nprintf "%%s\\tdescription\\n" --gpus "$*"\necho :4\n' >"$work/completing"
chmod +x "$work/completing"
completes() { # WHAT EXPECTED WORDS...
    what=$1 expected=$2
    shift 2
    equal "$what" "$expected" "$(PATH=$work/home/.local/bin:$PATH RUNAI_DOCKER=$work/completing bash -c '. "$0"
        COMP_WORDS=(runai-docker "$@") COMP_CWORD=$#
        _runai_docker
        echo "${COMPREPLY[*]}"' "$share/bash-completion/completions/runai-docker" "$@")"
}
completes "options of run are docker's and ours" "--gpu-memory --gpus" run --gp
completes "the first word is a command of docker's or ours" "policy" po
completes "a value is nobody's" "" run --gpu-memory 0
completes "behind the value docker completes the rest" "__complete run __" run --gpu-memory = 0.5 __
completes "the commands of policy" "ask check" policy ""
completes "what is asked is completed by docker" "__complete run __" policy ask run __
completes "a value behind an equals sign" "--gpus" run --network = --gp
# zsh and fish, where they are installed.
all() { # SHELL EXPECTED GOT
    if command -v "$1" >/dev/null; then equal "$1 completes the same" "$2" "$3"; else echo "$1: not here, not tried"; fi
}
export RUNAI_DOCKER="$work/completing"
all zsh "--gpu-memory --gpus __complete run --gp " "$(PATH=$work/home/.local/bin:$PATH zsh -f -c 'compdef() { : }
    _describe() { print -rl -- "${(@P)4}" }
    source "$0"
    words=(runai-docker run --gp) CURRENT=3
    _runai_docker' "$share/zsh/site-functions/_runai-docker" 2>/dev/null | cut -d: -f1 | tr '\n' ' ')"
all fish "--gpu-memory --gpus " "$(PATH=$work/home/.local/bin:$PATH fish -c 'source $argv
    complete -C "runai-docker run --gp"' "$share/fish/vendor_completions.d/runai-docker.fish" 2>/dev/null |
    cut -f1 | sort | tr '\n' ' ')"
export RUNAI_DOCKER="$work/docker"

# Questions, put to a docker whose engine answers as the plugin does, by the headers in the configuration. Each call is
# a line in calls.
cli=$root/build/cli/runai-docker
cat >"$work/docker" <<'END'
#!/bin/sh
configuration=$(cat "$DOCKER_CONFIG/config.json")
printf '%s %s\n' "$*" "$configuration" >>"$CALLS"
case $configuration in
*'"X-Gpu-Memory-Ask":"policy"'*) answer=$POLICY ;;
*) answer=$VERDICT ;;
esac
printf 'docker: Error response from daemon: %s.\nSee "docker run --help".\n' "$answer" >&2
exit 125
END
mkdir "$work/config" "$work/config/contexts" "$work/tmp"
printf '{\n  "HttpHeaders": {"X-Own": "1"}\n}\n' >"$work/config/config.json"
printf '{"mode":"audit"}' >"$work/audit.json"
end='nothing was done: this was a question'
answers() { printf 'authorization denied by plugin runai/gpu-memory:latest: %s\n  some line\n%s' "$1" "$end"; }
export CALLS="$work/calls" DOCKER_CONFIG="$work/config" TMPDIR="$work/tmp" POLICY VERDICT
POLICY=$(answers "a policy") VERDICT=$(answers "would be allowed")

# asked WHAT CODE OUTPUT CALLS WORDS...: CALLS are the words and headers of the calls that docker was given, one a line.
asked() {
    what=$1 expected="$2 $3
$4"
    shift 4
    : >"$CALLS"
    got=$("$cli" policy "$@" 2>&1)
    got="$? $got"
    equal "$what" "$expected" "$got
$(sed -n 's/^\(.*\) {"HttpHeaders":{"X-Gpu-Memory-\(.*\)},$/\1 \2/p' "$CALLS")"
}
probe='wait runai-policy-question Ask":"policy"'
ask_user=',"X-Gpu-Memory-Ask-User":"Ym9i"'
ask_policy=',"X-Gpu-Memory-Ask-Policy":"eyJtb2RlIjoiYXVkaXQifQ=="'
asked "a line that would be allowed" 0 "would be allowed
  some line
$end" "$probe
run --gpus 1 ubuntu Ask\":\"call\"" ask run --gpus 1 ubuntu
asked "pasted as it is, with our flag, for somebody else and by another policy" 0 "would be allowed
  some line
$end" "$probe$ask_user$ask_policy
run -v runai:/runai --label gpu-memory=0.5 ubuntu Ask\":\"call\"$ask_user$ask_policy" \
    ask --user bob --policy "$work/audit.json" docker run --gpu-memory 0.5 ubuntu
VERDICT=$(answers "would be refused")
asked "a line that would be refused" 1 "would be refused
  some line
$end" "$probe
start web Ask\":\"call\"" ask start web
VERDICT="No such image: ubuntu"
asked "an answer that is none" 2 \
    'runai-docker: docker did not come to ask: docker: Error response from daemon: No such image: ubuntu.
See "docker run --help".' "$probe
run ubuntu Ask\":\"call\"" ask run ubuntu
asked "a policy file" 0 "a policy
  some line" "$probe$ask_policy" check "$work/audit.json"
POLICY=$(answers "refused")
asked "a file that is no policy" 1 "refused
  some line" "$probe$ask_policy" check "$work/audit.json"
asked "by a policy that is none nothing is judged" 1 "refused
  some line
$end" "$probe$ask_policy" ask --policy "$work/audit.json" run ubuntu
POLICY=$(answers "no policy file: all else is allowed")
asked "where there is no file" 0 "no policy file: all else is allowed
  some line" "$probe" check
POLICY=$(answers "refused: the file on disk; the last good policy stays in force")
asked "the policy in force where the file is refused" 1 "refused: the file on disk; the last good policy stays in force
  some line" "$probe" check
VERDICT=$(answers "would be allowed")
asked "by the last good one a command is judged" 0 "would be allowed
  some line
$end" "$probe$ask_user
run ubuntu Ask\":\"call\"$ask_user" ask --user bob run ubuntu
POLICY="No such container: runai-policy-question"
unasked="no answer from the plugin: is it in the engine's authorization-plugins? Run docker runai doctor"
asked "where no plugin answers nothing else is called" 2 "runai-docker: $unasked" "$probe" ask run ubuntu
which="say by DOCKER_HOST, DOCKER_CONTEXT or DOCKER_CONFIG which engine"
asked "options before the command are not taken" 2 \
    "runai-docker: policy ask takes no option --config before the command: $which" "" \
    ask --config /elsewhere run ubuntu
known="runai-docker: policy ask knows run, create, start, restart, exec and service, not"
asked "other commands are not asked about" 2 "$known 'compose'" "" ask docker compose up
asked "nothing is not asked about" 2 "$known ''" "" ask
asked "two files are not checked at once" 2 "runai-docker: policy check takes one file" "" check a b
check_usage='  runai-docker policy check [FILE]'
ask_usage='  runai-docker policy ask [--user NAME] [--policy FILE] COMMAND'
helps() { # USAGE WORDS...
    usage=$1
    shift
    "$cli" policy "$@" >"$work/help" 2>&1
    equal "policy $* says what there is" "0 1" "$? $(grep -cxF -e "$usage" "$work/help")"
}
helps "$check_usage" --help
helps "$ask_usage" --help
helps "$check_usage" check --help
helps "$check_usage" check -h
helps "$ask_usage" ask --help
helps "$ask_usage" ask -h
asked "a policy file that is not there" 2 "runai-docker: there is no file /no/where to read" "" \
    ask --policy /no/where run ubuntu
equal "no copy of the configuration is left" "" "$(ls "$work/tmp")"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
