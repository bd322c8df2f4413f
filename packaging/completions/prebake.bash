# Completion of prebake(1) for bash. bash-completion loads it, but it needs nothing from there.
# shellcheck shell=bash

# The identity items of `prebake seal --list`; nothing if that fails.
_prebake_items() {
    "${COMP_WORDS[0]}" seal --list --json 2>/dev/null |
        sed -n 's/^ *"name": "\([a-z0-9-]*\)",*$/\1/p'
}

_prebake_reply() { # WORDS [WORD]
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${2-$cur}")
}

# Completes the value of the option $1. Fails if that option takes no value.
_prebake_value() {
    local before=
    case $1 in
        -f | --file | --config | --lock | -o | --output | -a | --address | --authfile | --verify-key | --image-credential-provider-config)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        --state-dir | --root | --kubelet-root | --hosts-dir | --image-credential-provider-bin-dir)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            ;;
        --log-level) _prebake_reply "error warn info debug" ;;
        --progress) _prebake_reply "auto tty plain json none" ;;
        --for) # of record it is a time
            [[ " ${COMP_WORDS[*]} " == *" record "* ]] || _prebake_reply "ready hydrated"
            ;;
        --format) _prebake_reply "text json brief prometheus" ;;
        --platform) _prebake_reply "linux/amd64 linux/arm64" ;;
        -n | --namespace) _prebake_reply "k8s.io moby default" ;;
        --runtime) _prebake_reply "auto containerd docker" ;;
        --snapshotter) _prebake_reply "overlayfs native soci" ;;
        --only | --skip | --also) # names with commas between them
            case $cur in *,*) before=${cur%,*}, ;; esac
            compopt -o nospace 2>/dev/null
            _prebake_reply "$(_prebake_items)" "${cur##*,}"
            COMPREPLY=("${COMPREPLY[@]/#/$before}")
            ;;
        --kubernetes | --until-ready) COMPREPLY=() ;;
        *) return 1 ;;
    esac
}

_prebake() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="plan bake verify images seal firstboot status daemon hydrate kubelet-config ecs-config record config help version"
    local options="--help --config --state-dir --address --namespace --snapshotter --docker-host --log-level --json --quiet"
    local registry=" --authfile --hosts-dir --image-credential-provider-config --image-credential-provider-bin-dir --verify-key"
    local i command=
    COMPREPLY=()

    # Readline makes the "=" between an option and its value a word of its own.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    [[ $prev != -* ]] || ! _prebake_value "$prev" || return 0
    [[ $prev != --wait ]] || [[ ${COMP_WORDS[COMP_CWORD - 1]} != = ]] || return 0

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -f | --file | --config | --lock | -a | --address | --state-dir | --log-level | -n | \
                --namespace | --snapshotter | -o | --output | --for | --until-ready)
                i=$((i + 1)) # its value is not a command
                [[ ${COMP_WORDS[i]-} != = ]] || i=$((i + 1))
                ;;
            plan | bake | verify | images | seal | firstboot | status | daemon | hydrate | kubelet-config | ecs-config | record | config | help | version)
                command=${COMP_WORDS[i]}
                break
                ;;
        esac
    done

    if [[ $cur != -* ]]; then
        case $command in
            '' | help) _prebake_reply "$commands" ;;
            config) _prebake_reply check ;;
        esac
        return 0
    fi
    case $command in
        plan) options+=" --file --platform --runtime --lock$registry" ;;
        bake)
            options+=" --file --platform --runtime --progress --no-space-check --require-cri --lock-timeout$registry"
            ;;
        verify) options+=" --deep --repair --sealed$registry" ;;
        seal)
            options+=" --check --list --at-shutdown --disarm --root --dry-run --yes --only --skip --also"
            ;;
        firstboot) options+=" --online" ;;
        hydrate) options+=" --all --again" ;;
        status) options+=" --format --brief --trace --wait --for" ;;
        record) options+=" --for --until-ready --boot --net-host --output" ;;
        kubelet-config) options+=" --check --kubernetes --kubelet-root" ;;
        ecs-config) options+=" --check --write --root" ;;
        version) options+=" --verbose" ;;
        images | daemon | config | help) ;;
        *) options+=" --version" ;;
    esac
    _prebake_reply "$options"
}

complete -F _prebake prebake
