#compdef runai-docker
# SPDX-License-Identifier: Apache-2.0
# Completion of runai-docker for zsh: `runai-docker completion zsh` prints it.

_runai_docker() {
    local -a candidates options
    local line directive=0
    while IFS= read -r line; do
        if [[ $line == :<-> ]]; then
            directive=${line#:}
        elif [[ $line == *$'\t'* ]]; then
            candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            candidates+=("${line//:/\\:}")
        fi
    done < <("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    # The candidates for --option=VALUE are values.
    [[ ${words[CURRENT]} == -*=* ]] && compset -P '*='
    # 1 is an error, 2 is no blank behind a candidate, 4 is no names of files.
    (( directive & 2 )) && options=(-S '')
    if (( ${#candidates} )); then
        _describe -t candidates runai-docker candidates $options
    elif (( ! (directive & 5) )); then
        _files
    fi
}

if [[ ${funcstack[1]} == _runai_docker ]]; then
    _runai_docker "$@"
else
    compdef _runai_docker runai-docker
fi
