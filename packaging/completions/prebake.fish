# Completion of prebake(1) for fish.

# The identity items of `prebake seal --list`, after those already on the command line.
function __prebake_items
    set -l before (string match --regex '^.*,' -- (commandline -ct | string replace --regex '^--[a-z]*=' ''))
    for item in (prebake seal --list --json 2>/dev/null \
            | string replace --filter --regex '^ *"name": "([a-z0-9-]*)",?$' '$1')
        echo "$before$item"
    end
end

set -l commands plan bake verify images seal firstboot status daemon hydrate kubelet-config ecs-config record config help version
set -l none "not __fish_seen_subcommand_from $commands"

complete -c prebake -f
complete -c prebake -n $none -a plan -d 'Show what would be fetched'
complete -c prebake -n $none -a bake -d 'Fetch, verify, unpack, name and pin images'
complete -c prebake -n $none -a verify -d 'Check that everything that was baked is present and usable'
complete -c prebake -n $none -a images -d 'List what was baked'
complete -c prebake -n $none -a seal -d 'Remove the identity and the secrets of the builder'
complete -c prebake -n $none -a firstboot -d 'Claim a new identity'
complete -c prebake -n $none -a status -d 'Show whether this node is ready'
complete -c prebake -n $none -a daemon -d 'Keep baked images usable'
complete -c prebake -n $none -a hydrate -d 'Read what images need from a disk that loads lazily'
complete -c prebake -n $none -a kubelet-config -d 'Print what belongs in the configuration of the kubelet'
complete -c prebake -n $none -a ecs-config -d 'Print what belongs in the configuration of the ECS agent'
complete -c prebake -n $none -a record -d 'Record which files an image reads'
complete -c prebake -n $none -a config -d 'Check the configuration files'
complete -c prebake -n $none -a help -d 'Show the help of a command'
complete -c prebake -n $none -a version -d 'Print the version'
complete -c prebake -n $none -l version -d 'Print the version'

complete -c prebake -s h -l help -d 'Print help'
complete -c prebake -l config -r -F -d 'Configuration file'
complete -c prebake -l state-dir -x -a '(__fish_complete_directories)' -d 'Directory of the state'
complete -c prebake -s a -l address -r -F -d 'Socket of containerd'
complete -c prebake -s n -l namespace -x -a 'k8s.io moby default' -d 'Namespace of containerd'
complete -c prebake -l snapshotter -x -a 'overlayfs native soci' -d 'Snapshotter to unpack into'
complete -c prebake -l docker-host -r -F -d 'Socket of dockerd'
complete -c prebake -l log-level -x -a 'error warn info debug' -d 'Level of messages on stderr'
complete -c prebake -l json -d 'Print the report as JSON'
complete -c prebake -s q -l quiet -d 'Print only errors'

set -l images '__fish_seen_subcommand_from plan bake'
complete -c prebake -n $images -s f -l file -r -F -d 'Image list'
complete -c prebake -n $images -l runtime -x -a 'auto containerd docker' -d 'Whose images they become'
complete -c prebake -n $images -l platform -x -a 'linux/amd64 linux/arm64' -d 'Platform of the nodes'
complete -c prebake -n '__fish_seen_subcommand_from plan bake verify' -l verify-key -r -F -d 'Public key that must have signed the images'
complete -c prebake -n '__fish_seen_subcommand_from plan' -l lock -r -F -d 'Write the list with digests'

set -l registry '__fish_seen_subcommand_from plan bake verify'
complete -c prebake -n $registry -l authfile -r -F -d 'Credentials as docker login writes them'
complete -c prebake -n $registry -l hosts-dir -x -a '(__fish_complete_directories)' -d 'Directory with a hosts.toml for each registry'
complete -c prebake -n $registry -l image-credential-provider-config -r -F -d 'Credential providers of the kubelet'
complete -c prebake -n $registry -l image-credential-provider-bin-dir -x -a '(__fish_complete_directories)' -d 'Their programs'

set -l bake '__fish_seen_subcommand_from bake'
complete -c prebake -n $bake -l progress -x -a 'auto tty plain json none' -d 'How progress is shown'
complete -c prebake -n $bake -l no-space-check -d 'Start even if the disk is clearly too small'
complete -c prebake -n $bake -l require-cri -d 'Fail unless CRI on this machine finds every image in k8s.io'
complete -c prebake -n $bake -l lock-timeout -x -d 'Wait this long for another bake or a repair'

set -l verify '__fish_seen_subcommand_from verify'
complete -c prebake -n $verify -l deep -d 'Read every blob, and compare snapshots with their layers'
complete -c prebake -n $verify -l repair -d 'Repair what is found'
complete -c prebake -n $verify -l sealed -d 'Also check that nothing of the builder is left'

set -l seal '__fish_seen_subcommand_from seal'
complete -c prebake -n $seal -l check -d 'Only report what of the builder is left'
complete -c prebake -n $seal -l list -d 'Only show the identity items'
complete -c prebake -n $seal -l at-shutdown -d 'Seal as the last step before power-off'
complete -c prebake -n $seal -l disarm -d 'Undo --at-shutdown'
complete -c prebake -n $seal -l root -x -a '(__fish_complete_directories)' -d 'Work on a machine image'
complete -c prebake -n $seal -l dry-run -d 'List every path that would change'
complete -c prebake -n $seal -s y -l yes -d 'Do not ask for confirmation'
complete -c prebake -n $seal -l only -x -a '(__prebake_items)' -d 'Only these items'
complete -c prebake -n $seal -l skip -x -a '(__prebake_items)' -d 'All except these items'
complete -c prebake -n $seal -l also -x -a '(__prebake_items)' -d 'Also these items'

complete -c prebake -n '__fish_seen_subcommand_from firstboot' -l online -d 'The second half, with a network'

complete -c prebake -n '__fish_seen_subcommand_from hydrate' -l all -d 'No deadline, no limit of rate, no stepping aside'
complete -c prebake -n '__fish_seen_subcommand_from hydrate' -l again -d 'Also read what was read before'

complete -c prebake -n '__fish_seen_subcommand_from version' -l verbose -d 'Also the libraries in this program'

complete -c prebake -n '__fish_seen_subcommand_from config' -a check -d 'Name the first error'
complete -c prebake -n '__fish_seen_subcommand_from help' -a "$commands"

set -l status_command '__fish_seen_subcommand_from status'
complete -c prebake -n $status_command -l format -x -a 'text json brief prometheus' -d 'Format of the report'
complete -c prebake -n $status_command -l brief -d 'One line, for node-problem-detector'
complete -c prebake -n $status_command -l trace -d 'Print what was recorded of the boot'
complete -c prebake -n $status_command -l wait -d 'Wait until the node is ready'
complete -c prebake -n $status_command -l for -x -a 'ready hydrated' -d 'What counts'

set -l kubelet '__fish_seen_subcommand_from kubelet-config'
complete -c prebake -n $kubelet -l check -d 'Find records that make the kubelet pull again'
complete -c prebake -n $kubelet -l kubernetes -x -d 'Version of the kubelet'
complete -c prebake -n $kubelet -l kubelet-root -x -a '(__fish_complete_directories)' -d 'Directory of the kubelet'

set -l ecs '__fish_seen_subcommand_from ecs-config'
complete -c prebake -n $ecs -l check -d 'Find settings that make the agent pull or remove baked images'
complete -c prebake -n $ecs -l write -d 'Merge the settings into /etc/ecs/ecs.config'
complete -c prebake -n $ecs -l root -x -a '(__fish_complete_directories)' -d 'Work on the machine image mounted here'

set -l record '__fish_seen_subcommand_from record'
complete -c prebake -n $record -l for -x -d 'End after this time'
complete -c prebake -n $record -l until-ready -x -d 'End when this shell command succeeds'
complete -c prebake -n $record -l boot -d 'Record the boot of this machine'
complete -c prebake -n $record -l net-host -d 'Use the network of this machine'
complete -c prebake -n $record -s o -l output -r -F -d 'File of the trace'
