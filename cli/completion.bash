# SPDX-License-Identifier: Apache-2.0
# Completion of runai-docker for bash: what docker itself completes (Docker 23 and later), --gpu-memory, and the
# commands of policy. get.sh installs it where bash-completion looks.

# The words before the one that is completed, without those that docker does not know.
_runai_docker_words() {
    local i
    words=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --gpu-memory)
            if [ "${COMP_WORDS[i + 1]}" = = ]; then i=$((i + 1)); fi
            i=$((i + 1))
            ;;
        *) words+=("${COMP_WORDS[i]}") ;;
        esac
    done
    # No candidates for the value of --gpu-memory.
    [ "$i" = "$COMP_CWORD" ]
}

# What docker offers: a candidate a line, with its description behind a tab, and a line with a number last.
_runai_docker_candidates() {
    case "${words[*]}" in
    policy) printf '%s\n' ask check ;;
    "policy ask") printf '%s\n' --user --policy run create start restart exec service ;;
    "policy ask --user" | "policy ask --policy") ;;
    "policy check") compgen -f -- "$current" ;;
    *)
        if [ ${#words[@]} = 0 ]; then echo policy; fi
        case " ${words[*]} $current" in *" run "*-* | *" create "*-*) echo --gpu-memory ;; esac
        if [ "${words[*]:0:2}" = "policy ask" ]; then words=("${words[@]:2}"); fi
        "${RUNAI_DOCKER:-docker}" __complete "${words[@]}" "$current" 2>/dev/null | sed '/^:[0-9]*$/d; s/\t.*//'
        ;;
    esac
}

_runai_docker() {
    local current=${COMP_WORDS[COMP_CWORD]} words candidate
    COMPREPLY=()
    _runai_docker_words || return 0
    while read -r candidate; do
        case $candidate in "$current"*) COMPREPLY+=("$candidate") ;; esac
    done < <(_runai_docker_candidates)
}
complete -o bashdefault -o default -F _runai_docker runai-docker
