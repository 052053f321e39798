# SPDX-License-Identifier: Apache-2.0
# Completion of runai-docker for fish: `runai-docker completion fish` prints it.

function __runai_docker_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l directive 0
    set -l found 0
    # The candidates for --option=VALUE are values.
    set -l option (string match -r '^-.*?=' -- $current)
    for line in ($program __complete $words "$current" 2>/dev/null)
        if string match -qr '^:[0-9]+$' -- $line
            set directive (string sub -s 2 -- $line)
        else
            set found 1
            echo "$option$line"
        end
    end
    # 1 is an error, 4 is no names of files.
    if test $found = 0; and test (math "bitand($directive, 5)") = 0
        __fish_complete_path "$current"
    end
end
complete -c runai-docker -f -a '(__runai_docker_complete)'
