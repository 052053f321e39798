# SPDX-License-Identifier: Apache-2.0
# Completion of runai-docker for bash: `runai-docker completion bash` prints it.

# Bash ends words at = and : as well. The words as they were typed go to runai-docker, and of a candidate bash gets what
# is behind the last of these. The candidates for --option=VALUE are values.
_runai_docker() {
    local words=() joined='' i line name directive=0 typed
    for ((i = 1; i <= COMP_CWORD; i++)); do
        line=${COMP_WORDS[i]}
        if [ ${#words[@]} -gt 0 ] && { [[ $line == [=:] ]] || [ -n "$joined" ]; }; then
            words[${#words[@]} - 1]+=$line
        else
            words+=("$line")
        fi
        joined=
        if [[ $line == [=:] ]]; then joined=yes; fi
    done
    COMPREPLY=()
    typed=${words[${#words[@]} - 1]}
    case $typed in -*=*) typed=${typed#*=} ;; esac
    while IFS= read -r line; do
        case $line in :[0-9]*) directive=${line#:} && continue ;; esac
        name=${line%%$'\t'*}
        case $name in "$typed"*) COMPREPLY+=("${name#"${typed%"${typed##*[=:]}"}"}") ;; esac
    done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
    # What it says beside the candidates: 1 is an error, 2 is no blank behind one, 4 is no names of files.
    if [[ $((directive & 2)) != 0 ]]; then compopt -o nospace 2>/dev/null; fi
    if [[ $((directive & 5)) != 0 ]]; then compopt +o default +o bashdefault 2>/dev/null; fi
    return 0
}
complete -o bashdefault -o default -F _runai_docker runai-docker
