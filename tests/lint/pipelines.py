#!/usr/bin/python3
"""The examples for image pipelines are valid for the tools that read them, and correct for prebake.

PREBAKE is the program whose --help is read. Packer validates its templates, with the builder for
Amazon in version 1.6. The other tools have no validator that works here, so the schemas from their
references are below. cloud-init has one, but a test must not install it: it would change this
machine at its next boot.
--self-test breaks the examples and expects each fault to be found."""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

import yaml

import documentation
import tree

IMAGE_BUILDER = "packaging/image-builder/component.yml"
KARPENTER = "packaging/karpenter/ec2nodeclass.yaml"
NODEADM = "packaging/nodeadm/50-prebake.yaml"
NODEADM_PAGE = "packaging/nodeadm/README.md"
CLOUD_INIT = "packaging/cloud-init/user-data.yaml"
WARM_POOL = "packaging/warm-pool/prebake-warm-pool.service"
WARM_POOL_PAGE = "packaging/warm-pool/README.md"
EKS = "packaging/packer/eks-al2023.pkr.hcl"
DOCKER = "packaging/packer/ubuntu-docker.pkr.hcl"
ECS = "packaging/packer/ecs-al2023.pkr.hcl"
TEMPLATES = (EKS, DOCKER, ECS)
README = "README.md"
OTHERS = ("CMakeLists.txt", "CHANGELOG.md", README, "packaging/ansible/README.md")
EXAMPLES = (IMAGE_BUILDER, KARPENTER, NODEADM, NODEADM_PAGE, CLOUD_INIT, WARM_POOL, WARM_POOL_PAGE,
            *TEMPLATES)

# Packer 1.6 does not know plugins that it must fetch, and IMDSv2. It gets copies without them.
PLUGINS = re.compile(r"^packer \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
NEWER = re.compile(r"^  metadata_options \{\n.*?^  \}\n", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r'^variable "(\w+)" \{\n((?:  .*\n)*)\}', re.MULTILINE)
TAG = re.compile(r'^    ([\w-]+) += (?:"(.*)"|var\.(\w+))$', re.MULTILINE)
PROVISIONER = re.compile(r'^  provisioner "\w+" \{\n.*?^  \}\n', re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
UNIT = re.compile(r"(?<![\w-])prebake[a-z-]*\.(?:service|target)")
TABLES = "containerd|bake|registry|seal|firstboot|guard|hydrate|readiness|report"
KEY = re.compile(rf"(?<![\w./-])({TABLES})\.([a-z_]+)\b(?![.-])")
NO_KEYS = documentation.NO_KEYS | {"sock", "toml"}
# Where a command can start, in the shell lines of HCL and YAML.
CALL = re.compile(r"""^[\s"'-]*prebake ([a-z-][^\s"']*)|\$\(prebake (\S+)""", re.MULTILINE)


class Map:
    """An object with any keys, whose values all have one form."""

    def __init__(self, form):
        self.form = form


class Any:
    """Described by another schema."""


# A form is a type, a set of values, [FORM] for a list, {"key": FORM, "key?": FORM} for an object.
TAINT = {"key": str, "value?": str, "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"}}
TERMS = [{"tags?": Map(str), "id?": str, "name?": str}]
COMPONENT = {
    "name?": str, "description?": str, "schemaVersion": {1.0},
    "parameters?": [Map({"type": {"string"}, "default?": str, "description?": str})],
    "constants?": [Map({"type": {"string"}, "value": str})],
    "phases": [{"name": {"build", "validate", "test"}, "steps": [{
        "name": str, "action": {"ExecuteBash", "S3Download"}, "timeoutSeconds?": int,
        "onFailure?": {"Abort", "Continue", "Ignore"}, "maxAttempts?": int, "inputs": Any}]}],
}
INPUTS = {
    "ExecuteBash": {"commands": [str]},
    "S3Download": [{"source": str, "destination": str, "overwrite?": bool,
                    "expectedBucketOwner?": str}],
}
# karpenter.k8s.aws/v1
EC2_NODE_CLASS = {
    "apiVersion": {"karpenter.k8s.aws/v1"}, "kind": {"EC2NodeClass"}, "metadata": {"name": str},
    "spec": {
        "amiFamily?": {"AL2023", "Custom"},
        "amiSelectorTerms": [{"alias?": str, "id?": str, "name?": str, "owner?": str,
                              "ssmParameter?": str, "tags?": Map(str)}],
        "subnetSelectorTerms": TERMS, "securityGroupSelectorTerms": TERMS,
        "role?": str, "instanceProfile?": str, "tags?": Map(str), "userData?": str,
        "instanceStorePolicy?": {"RAID0"}, "detailedMonitoring?": bool,
        "associatePublicIPAddress?": bool, "kubelet?": Map(Any),
        "metadataOptions?": {"httpEndpoint?": str, "httpTokens?": {"required", "optional"},
                             "httpProtocolIPv6?": str, "httpPutResponseHopLimit?": int},
        "blockDeviceMappings?": [{"deviceName": str, "rootVolume?": bool, "ebs": {
            "volumeSize?": str, "volumeType?": str, "iops?": int, "throughput?": int,
            "encrypted?": bool, "kmsKeyID?": str, "snapshotID?": str,
            "volumeInitializationRate?": int, "deleteOnTermination?": bool}}],
    },
}
# karpenter.sh/v1
NODE_POOL = {
    "apiVersion": {"karpenter.sh/v1"}, "kind": {"NodePool"}, "metadata": {"name": str},
    "spec": {
        "template": {
            "metadata?": {"labels?": Map(str), "annotations?": Map(str)},
            "spec": {
                "nodeClassRef": {"group": {"karpenter.k8s.aws"}, "kind": {"EC2NodeClass"},
                                 "name": str},
                "requirements": [{"key": str, "values?": [str], "minValues?": int, "operator": {
                    "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}}],
                "taints?": [TAINT], "startupTaints?": [TAINT], "expireAfter?": str,
                "terminationGracePeriod?": str}},
        "limits?": Map(str), "weight?": int,
        "disruption?": {"consolidationPolicy": {"WhenEmpty", "WhenEmptyOrUnderutilized"},
                        "consolidateAfter": str, "budgets?": [Map(Any)]},
    },
}
KARPENTER_KINDS = {"EC2NodeClass": EC2_NODE_CLASS, "NodePool": NODE_POOL}
# node.eks.aws/v1alpha1; of the kubelet's configuration only the keys for images.
NODE_CONFIG_SPEC = {
    "cluster?": Map(Any), "featureGates?": Map(bool),
    "containerd?": {"config?": str, "baseRuntimeSpec?": Map(Any)},
    "instance?": {"localStorage?": {
        "strategy": {"RAID0", "RAID10", "Mount"}, "mountPath?": str,
        "disabledMounts?": [{"Containerd", "PodLogs"}]}},
    "kubelet?": {"flags?": [str], "config?": {
        "imageGCHighThresholdPercent?": int, "imageGCLowThresholdPercent?": int,
        "imageMinimumGCAge?": str, "imageMaximumGCAge?": str, "nodeStatusMaxImages?": int,
        "serializeImagePulls?": bool, "maxParallelImagePulls?": int,
        "imagePullCredentialsVerificationPolicy?": str,
        "preloadedImagesVerificationAllowlist?": [str], "registerWithTaints?": [TAINT]}},
}
NODE_CONFIG = {"apiVersion": {"node.eks.aws/v1alpha1"}, "kind": {"NodeConfig"},
               "spec": NODE_CONFIG_SPEC}
# The modules of cloud-init that the example may use.
USER_DATA = {
    "write_files?": [{"path": str, "content?": str, "permissions?": str, "owner?": str,
                      "encoding?": str, "append?": bool, "defer?": bool}],
    "packages?": [str], "package_update?": bool,
    "bootcmd?": [Any], "runcmd?": [Any], "final_message?": str,
}


def misfits(value, form, where):
    """The differences between the value and the form."""
    if form is Any:
        return
    if isinstance(form, set):
        if isinstance(value, (dict, list)) or value not in form:
            yield f"{where}: {value!r} is none of {sorted(map(str, form))}"
    elif isinstance(form, type):
        if type(value) is not form:
            yield f"{where}: {value!r} is no {form.__name__}"
    elif isinstance(form, list):
        if not isinstance(value, list) or not value:
            yield f"{where}: is no list, or empty"
            return
        for number, item in enumerate(value):
            yield from misfits(item, form[0], f"{where}[{number}]")
    elif not isinstance(value, dict):
        yield f"{where}: is no object"
    elif isinstance(form, Map):
        for key, item in value.items():
            yield from misfits(item, form.form, f"{where}.{key}")
    else:
        for key in value:
            if key not in form and f"{key}?" not in form:
                yield f"{where}: there is no key {key}"
        for key, inner in form.items():
            name = key.removesuffix("?")
            if name in value:
                yield from misfits(value[name], inner, f"{where}.{name}")
            elif name == key:
                yield f"{where}: {key} is missing"


def listed_once(faults_of):
    """The self-test checks a hundred times what it changed in one place."""
    return functools.cache(lambda *texts: list(faults_of(*texts)))


class UniqueKeys(yaml.SafeLoader):
    """YAML silently uses the last of two equal keys."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice",
                                                    node.start_mark)
        return super().construct_mapping(node, deep)


def documents_in(text):
    return list(yaml.load_all(text, UniqueKeys))


def shell_faults(script, where):
    ended = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True,
                           check=False)
    if ended.returncode:
        yield f"{where}: {ended.stderr.strip()}"


@listed_once
def faults_of_component(text):
    path = IMAGE_BUILDER
    [document] = documents_in(text)
    found = list(misfits(document, COMPONENT, path))
    yield from found
    if found:
        return
    phases = {phase["name"]: phase["steps"] for phase in document["phases"]}
    if list(phases) != ["build", "validate", "test"]:
        yield f"{path}: its phases are {list(phases)}"
    declared = [name for parameter in document.get("parameters", []) for name in parameter]
    used = set(PLACEHOLDER.findall(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)))
    if used != set(declared):
        yield f"{path}: parameters {sorted(declared)}, used {sorted(used)}"
    seals = []
    for phase, steps in phases.items():
        if len({step["name"] for step in steps}) != len(steps):
            yield f"{path}: {phase}: step names are not unique"
        for step in steps:
            where = f"{path}: {phase}: {step['name']}"
            found = list(misfits(step["inputs"], INPUTS[step["action"]], where))
            yield from found
            if step["action"] != "ExecuteBash" or found:
                continue
            script = "\n".join(step["inputs"]["commands"])
            yield from shell_faults(PLACEHOLDER.sub("x", script), where)
            # A parameter is inserted as text.
            outside = "".join(script.split("'")[0::2])
            if PLACEHOLDER.search(outside):
                yield f"{where}: a parameter outside of single quotes"
            if len(step["inputs"]["commands"]) > 1 and not script.startswith("set -euo pipefail"):
                yield f"{where}: goes on after a failure"
            seals += [(phase, step is steps[-1], line) for line in script.splitlines()
                      if line.startswith("prebake seal")]
    # A seal at this point would stop the SSM agent, and so the build.
    if seals != [("validate", True, "prebake seal --at-shutdown")]:
        yield f"{path}: the seal is not the last step of validate, at the shutdown: {seals}"


def tags_of(template):
    """The tags of the template's image without the name; variables with their defaults."""
    defaults = {name: value[1] for name, body in VARIABLE.findall(template)
                if (value := re.search(r'^  default +=\s"(.*)"$', body, re.MULTILINE))}
    tags = re.search(r"^  tags = \{\n(.*?)^  \}", template, re.MULTILINE | re.DOTALL)
    return {key: literal or defaults.get(variable)
            for key, literal, variable in TAG.findall(tags[1] if tags else "") if key != "Name"}


@listed_once
def faults_of_karpenter(text, template):
    documents = documents_in(text)
    kinds = [document.get("kind") for document in documents]
    if sorted(map(str, kinds)) != sorted(KARPENTER_KINDS):
        yield f"{KARPENTER}: holds {kinds}"
        return
    for document in documents:
        yield from misfits(document, KARPENTER_KINDS[document["kind"]],
                           f"{KARPENTER}: {document['kind']}")
    found = {document["kind"]: document for document in documents}
    with contextlib.suppress(KeyError, TypeError):  # found above
        node_class, pool = found["EC2NodeClass"], found["NodePool"]
        named = pool["spec"]["template"]["spec"]["nodeClassRef"]["name"]
        if named != node_class["metadata"]["name"]:
            yield f"{KARPENTER}: the pool asks for the class {named}"
        for term in node_class["spec"]["amiSelectorTerms"]:
            # All tags of the EKS template: otherwise it also selects images of the other.
            if term.get("tags") != tags_of(template):
                yield f"{KARPENTER}: does not select the images of {EKS}, and no others"


@listed_once
def faults_of_nodeadm(text, page):
    [document] = documents_in(text)
    found = list(misfits(document, NODE_CONFIG, NODEADM))
    yield from found
    if found:
        return
    spec = document.get("spec", {})
    limits = spec.get("kubelet", {}).get("config", {})
    low, high = (limits.get(f"imageGC{end}ThresholdPercent", usual)
                 for end, usual in (("Low", 80), ("High", 85)))
    if not 0 < low < high <= 100:
        yield f"{NODEADM}: image collection from {high} % down to {low} %"
    config = spec.get("containerd", {}).get("config", "")
    try:
        plugins = tomllib.loads(config).get("plugins", {})
        pinned = plugins["io.containerd.cri.v1.images"]["pinned_images"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        yield f"{NODEADM}: containerd's configuration pins nothing: {error}"
    else:
        for name in pinned.values():
            # containerd compares complete names (docs/cri/config.md).
            if not re.fullmatch(r"[a-z0-9.-]+\.[a-z]+(?::\d+)?/[a-z0-9./_-]+:[\w.-]+", str(name)):
                yield f"{NODEADM}: {name} is no full name, host/repository:tag"
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for fragment in documents_in(block):
            yield from misfits(fragment, {"spec": NODE_CONFIG_SPEC}, NODEADM_PAGE)


@listed_once
def faults_of_user_data(text):
    if not text.startswith("#cloud-config\n"):
        yield f"{CLOUD_INIT}: cloud-init knows it by its first line, #cloud-config"
    [document] = documents_in(text)
    found = list(misfits(document, USER_DATA, CLOUD_INIT))
    yield from found
    if found:
        return
    for written in document.get("write_files", []):
        mode, content = written.get("permissions", "0644"), written.get("content", "")
        if not re.fullmatch(r"0[0-7]{3}", str(mode)):
            yield f"{CLOUD_INIT}: {written.get('path')}: the mode is {mode!r}"
        if content.startswith("#!"):
            yield from shell_faults(content, f"{CLOUD_INIT}: {written.get('path')}")
            lines = [line.strip() for line in content.splitlines()]
            # If it sealed while cloud-init runs, cloud-init would write again afterwards.
            if lines[-2:] != ["prebake seal --at-shutdown", "systemctl poweroff"]:
                yield f"{CLOUD_INIT}: does not end with a seal at the shutdown"


def required(template):
    """The variables without a default."""
    return [name for name, body in VARIABLE.findall(template) if "default" not in body]


def faults_of_readme(texts):
    """The command for Packer must be complete."""
    command = re.search(r"`packer build ([^`]*) (\S+)`", texts[README])
    if not command or f"packer init {command[2]}" not in texts[README]:
        yield f"{README}: does not tell how to run Packer"
        return
    given = re.findall(r"-var (\w+)=\S+", command[1])
    for name in required(texts.get(command[2], "")):
        if name not in given:
            yield f"{README}: packer build would ask for {name}"


def faults_of_versions(texts):
    """CMakeLists.txt has the version; every name of a package must have the same one."""
    version = re.search(r"^project\(prebake VERSION (\S+)", texts["CMakeLists.txt"],
                        re.MULTILINE)[1]
    for path, text in texts.items():
        for named in re.findall(r"prebake[-_](\d+\.\d+\.\d+)", text):
            if named != version:
                yield f"{path}: names prebake {named}, this is {version}"
    newest = re.search(r"^## \[(.*?)\]", texts["CHANGELOG.md"], re.MULTILINE)
    if not newest or newest[1] != version:
        yield f"CHANGELOG.md: begins with {newest and newest[1]}, this is {version}"


@listed_once
def faults_of_checksum(path, text):
    """The package must be what its publisher has published."""
    checked = set()
    for name, installed in re.findall(r"/?([\w.]+)\W+ \| sha256sum --check --strict\b"
                                      r"|install .*\b(prebake\.(?:rpm|deb))", text):
        checked |= {name} - {""}
        # Image Builder downloads it as "package", whatever it is.
        if installed and not checked & {installed, "package"}:
            yield f"{path}: installs {installed} without checking its SHA-256"
    if not checked:
        yield f"{path}: installs a package without checking its SHA-256"


@listed_once
def faults_of_template(path, text):
    plugins = PLUGINS.search(text)
    if not plugins or 'source  = "github.com/hashicorp/amazon"' not in plugins[0]:
        yield f"{path}: packer init would not fetch the plugin for Amazon"
    if not re.search(r'^\s+prebake\s+= "yes"$', text, re.MULTILINE):
        yield f"{path}: the image is not tagged prebake"
    provisioners = PROVISIONER.findall(text)
    last = provisioners[-1] if provisioners else ""
    calls = re.findall(r'^ +"(.+)",$', last, re.MULTILINE)
    # No login is possible after a seal.
    if calls != ["prebake seal --yes", "prebake seal --check"] or "skip_clean = true" not in last:
        yield f"{path}: does not end with one provisioner that seals and checks"
    if text.count('"prebake seal --yes",') != 1:
        yield f"{path}: seals more than once"
    for provisioner in provisioners:
        # Packer's default is a name below /tmp that another user can guess.
        if 'provisioner "shell"' in provisioner and "remote_folder" not in provisioner:
            yield f"{path}: a script is uploaded to /tmp"
        lines = re.findall(r'^ +"(.*)",$', provisioner.partition("inline = [")[2], re.MULTILINE)
        script = "\n".join(lines).replace('\\"', '"').replace("\\\\", "\\").replace("$${", "${")
        yield from shell_faults(script, path)


@listed_once
def faults_of_ecs(text):
    """The agent must not run on the builder, and must use what was baked."""
    steps = re.findall(r'^ +"(systemctl stop ecs|prebake (?:bake|ecs-config --\w+|seal --yes))\b',
                       text, re.MULTILINE)
    if steps != ["systemctl stop ecs", "prebake bake", "prebake ecs-config --write",
                 "prebake ecs-config --check", "prebake seal --yes"]:
        yield f"{ECS}: its steps are {steps}"
    if not re.search(r'^ +"printf .*namespaces = \[\\"moby\\"\]', text, re.MULTILINE):
        yield f"{ECS}: bakes for no Docker"


def faults_of_packer(packer, path, text):
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        template = home / pathlib.Path(path).name
        whole = home / "whole.pkr.hcl"
        whole.write_text(text)
        template.write_text(NEWER.sub("", PLUGINS.sub("", text)))
        (home / "file").touch()
        # Otherwise it asks for updates, and asks the metadata service of EC2 for credentials.
        environment = {"PATH": os.environ["PATH"], "HOME": directory, "TMPDIR": directory,
                       "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}

        def run(*arguments):
            return subprocess.run([packer, *arguments], cwd=directory, env=environment,
                                  capture_output=True, text=True, timeout=300, check=False)

        ended = run("fmt", "-check", "-diff", whole.name)
        if ended.returncode:
            yield f"{path}: packer fmt would write\n{ended.stdout}{ended.stderr}"
        values = [f"-var={name}=file" for name in required(text)]
        for source in ("", "ami-0123456789abcdef0"):
            ended = run("validate", *values, f"-var=source_ami={source}",
                        template.name)
            if ended.returncode:
                said = " ".join((ended.stdout + ended.stderr).split())
                yield f"{path}: packer validate, source_ami {source!r}: {said}"


@listed_once
def faults_of_words(said, path, text):
    """Commands, options, units and keys that do not exist."""
    commands = "|".join(map(re.escape, said.commands))
    if not path.endswith(".md"):
        code = re.sub(r"^\s*#(?!!).*$", "", text, flags=re.MULTILINE)
        for call in CALL.findall(code):
            word = call[0] or call[1]
            if word not in said.commands:
                yield f"{path}: prebake has no command {word}"
    for command, rest in re.findall(rf"\bprebake ({commands})\b([^`|;&#\n\"')]*)", text):
        for option in re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", rest):
            if option not in said.spellings(command):
                yield f"{path}: prebake {command} has no option {option}"
    for unit in UNIT.findall(text):
        if not (tree.TOP / "systemd" / unit).is_file() and unit != pathlib.Path(WARM_POOL).name:
            yield f"{path}: there is no unit {unit}"
    known = keys()
    for table, key in KEY.findall(text):
        if key not in NO_KEYS and (table, key) not in known:
            yield f"{path}: there is no key {table}.{key}"


def keys():
    found, table = set(), ""
    for line in (tree.TOP / documentation.CONFFILE).read_text().splitlines():
        if match := re.match(r"\[(\w+)\]$", line):
            table = match[1]
        elif match := re.match(r"#(\w+) = ", line):
            found.add((table, match[1]))
    return found


def check(said, packer, texts, validated=TEMPLATES):
    """All faults. Packer validates the templates in `validated`."""
    def all_of():
        yield from faults_of_component(texts[IMAGE_BUILDER])
        yield from faults_of_karpenter(texts[KARPENTER], texts[EKS])
        yield from faults_of_nodeadm(texts[NODEADM], texts[NODEADM_PAGE])
        yield from faults_of_user_data(texts[CLOUD_INIT])
        for path in TEMPLATES:
            yield from faults_of_template(path, texts[path])
            if packer and path in validated:
                yield from faults_of_packer(packer, path, texts[path])
        yield from faults_of_ecs(texts[ECS])
        yield from faults_of_readme(texts)
        yield from faults_of_versions(texts)
        for path in (IMAGE_BUILDER, CLOUD_INIT, *TEMPLATES):
            yield from faults_of_checksum(path, texts[path])
        for path in EXAMPLES:
            yield from faults_of_words(said, path, texts[path])

    found = []
    try:
        found.extend(all_of())
    except yaml.YAMLError as error:
        found.append(f"no YAML: {error}")
    return found


def self_test(said, packer, good):
    """Each way to break the examples must be found."""
    ways = [
        # example, old text, new text, expected fault
        (IMAGE_BUILDER, "action: S3Download", "action: S3Fetch", "'S3Fetch' is none of"),
        (IMAGE_BUILDER, "maxAttempts: 3", "attempts: 3", "there is no key attempts"),
        (IMAGE_BUILDER, "timeoutSeconds: 21600", "timeoutSeconds: 6h", "'6h' is no int"),
        (IMAGE_BUILDER, "- name: validate", "- name: verify", "'verify' is none of"),
        (IMAGE_BUILDER, "- name: validate", "- name: test", "its phases are"),
        (IMAGE_BUILDER, "type: string", "type: list", "'list' is none of"),
        (IMAGE_BUILDER, "destination: /run", "target: /run", "there is no key target"),
        (IMAGE_BUILDER, "'{{ Package }}'", "'{{ Packages }}'", "used ['Image"),
        (IMAGE_BUILDER, "echo '{{ PackageSha256 }}  package'", "echo {{ PackageSha256 }} package",
         "outside of single quotes"),
        (IMAGE_BUILDER, "- name: Install", "- name: Fetch", "step names are not unique"),
        (IMAGE_BUILDER, "            - set -euo pipefail\n", "", "goes on after a failure"),
        (IMAGE_BUILDER, "seal --at-shutdown", "seal --yes", "the seal is not the last step"),
        (IMAGE_BUILDER, "verify --deep", "seal --at-shutdown", "the seal is not the last step"),
        (IMAGE_BUILDER, "dnf >/dev/null; then", "dnf >/dev/null", "syntax error"),
        (IMAGE_BUILDER, "prebake verify --deep", "prebake verify --all", "no option --all"),
        (IMAGE_BUILDER, "- prebake plan", "- prebake pull", "no command pull"),
        (IMAGE_BUILDER, "status=$(prebake status", "x=$(prebake state", "no command state"),
        (IMAGE_BUILDER, "name: prebake\n", "name: a\nname: b\n", "a key stands twice"),
        (IMAGE_BUILDER, "phases:", "phases: [", "no YAML"),
        (KARPENTER, "amiSelectorTerms", "amiSelector", "amiSelectorTerms is missing"),
        (KARPENTER, 'prebake: "yes"', 'prebake: "no"', "does not select the images"),
        (KARPENTER, 'version: "1.33"', 'version: "1.32"', "does not select the images"),
        (EKS, "kubernetes-version = ", "k8s = ", "does not select the images"),
        (KARPENTER, 'prebake: "yes"', "prebake: yes", "True is no str"),
        (KARPENTER, "karpenter.sh/v1\n", "karpenter.sh/v1beta1\n", "'karpenter.sh/v1beta1' is"),
        (KARPENTER, "operator: In", "operator: Is", "'Is' is none of"),
        (KARPENTER, "        name: prebake\n", "        name: other\n", "for the class other"),
        (KARPENTER, "kind: NodePool", "kind: Provisioner", "holds ['EC2NodeClass', 'Prov"),
        (KARPENTER, "expireAfter: 720h", "startupTaints: [{key: a, effect: Never}]", "'Never' is"),
        (KARPENTER, "readiness.deadline", "readiness.limit", "no key readiness.limit"),
        (KARPENTER, "prebake-ready.target", "prebake-up.target", "no unit prebake-up.target"),
        (NODEADM, "kubelet:", "kubelets:", "there is no key kubelets"),
        (NODEADM, "LowThresholdPercent: 75", "LowThresholdPercent: 80", "from 80 % down to 80"),
        (NODEADM, "Percent: 80", 'Percent: "80"', "'80' is no int"),
        (NODEADM, "docker.io/library/nginx:1.27", "nginx:1.27", "nginx:1.27 is no full name"),
        (NODEADM, "cri.v1.images'", "grpc.v1.cri'", "pins nothing"),
        (NODEADM, "version = 3", "version =", "pins nothing"),
        (NODEADM, "guard.min_free", "guard.free", "no key guard.free"),
        (NODEADM_PAGE, "[Containerd]", "[All]", "'All' is none of"),
        (NODEADM_PAGE, "prebaked.service", "prebake-d.service", "no unit prebake-d.service"),
        (NODEADM_PAGE, "kubelet-config`", "kubelet-config --all`", "no option --all"),
        (WARM_POOL, "prebake-hydrated.target", "prebake-warm.target", "no unit prebake-warm"),
        (WARM_POOL_PAGE, "hydrate.deadline", "hydrate.limit", "no key hydrate.limit"),
        (CLOUD_INIT, "#cloud-config\n", "# cloud-config\n", "its first line"),
        (CLOUD_INIT, "runcmd:", "run_cmd:", "there is no key run_cmd"),
        (CLOUD_INIT, 'permissions: "0644"', "permissions: 0644", "420 is no str"),
        (CLOUD_INIT, "systemctl poweroff", "true", "does not end with a seal"),
        (CLOUD_INIT, "      fi\n", "      if\n", "syntax error"),
        (EKS, "hashicorp/amazon", "hashicorp/google", "would not fetch the plugin"),
        (EKS, "skip_clean = true", "skip_clean = false", "seals and checks"),
        (EKS, '"prebake seal --check",', '"prebake seal --list",', "seals and checks"),
        (EKS, '"prebake plan",', '"prebake seal --yes",', "seals more than once"),
        (EKS, "--wait || test", "--wait || ( test", "syntax error"),
        (DOCKER, "bake --progress=plain", "bake --progess=plain", "no option --progess"),
        (DOCKER, 'prebake = "yes"', 'prebake = "1"', "is not tagged"),
        (EKS, "remote_folder ", "remote_file ", "a script is uploaded to /tmp"),
        (ECS, "systemctl stop ecs", "systemctl start ecs", "its steps are"),
        (ECS, "ecs-config --check", "ecs-config --json", "its steps are"),
        (ECS, "ecs-config --write", "ecs-config --merge", "no option --merge"),
        (ECS, "[\\\"moby\\\"]", "[\\\"k8s.io\\\"]", "bakes for no Docker"),
        (DOCKER, "| sha256sum --check", "| cksum --check", "without checking its SHA-256"),
        (CLOUD_INIT, "prebake.rpm' | sha256sum", "prebake.rpm' | true", "without checking its SHA"),
        (CLOUD_INIT, "prebake.deb' | sha256sum", "prebake.deb' | true", "without checking its SHA"),
        (IMAGE_BUILDER, " sha256sum --check", " true", "without checking its SHA-256"),
        (README, "-var package_sha256=\"$SHA256\" ", "", "would ask for package_sha256"),
        (README, "-var ami_name=eks-baked-1 ", "", "would ask for ami_name"),
        (README, "packer init", "packer", "does not tell how"),
        (README, "prebake-0.1.0-1", "prebake-0.0.9-1", "names prebake 0.0.9"),
        (CLOUD_INIT, "prebake_0.1.0-1", "prebake_0.2.0-1", "names prebake 0.2.0"),
        ("CHANGELOG.md", "## [0.1.0]", "## [Unreleased]", "begins with Unreleased"),
    ]
    for_packer = []
    if packer:
        for_packer += [
            (EKS, "region        = var.region", "region = var.region", "packer fmt"),
            (EKS, "ami_name      = ", "ami_title     = ", "packer validate, source_ami ''"),
            (EKS, "ssh_username  = ", "ssh_username_ = ", "packer validate, source_ami ''"),
            (EKS, "= var.volume_size", "= var.volume_sizes", "packer validate, source_ami ''"),
            (EKS, "owners      = [", "ownerz      = [", "packer validate, source_ami ''"),
            (ECS, "owners      = [", "ownerz      = [", "packer validate, source_ami ''"),
            (DOCKER, "source_ami = var.source_ami", 'source_ami = ""',
             "packer validate, source_ami 'ami-"),
            (DOCKER, "skip_clean = true", "skip_clean = true\n    retries    = 1", "validate"),
        ]
    missed = []
    for path, there, other, expected in ways + for_packer:
        if there not in good[path]:
            missed.append(f"{path}: {there!r} is not there to be broken")
            continue
        broken = {**good, path: good[path].replace(there, other, 1)}
        # Each run of Packer takes as long as all other checks.
        validated = (path,) if (path, there, other, expected) in for_packer else ()
        found = check(said, packer, broken, validated)
        if not any(expected in fault for fault in found):
            missed.append(f"{path}: {other!r} in place of {there!r}: no {expected!r} in {found}")
    tree.report(missed, len(ways + for_packer), "pipelines, self-test")


def main():
    said = documentation.Help(documentation.ask_for_help(os.environ["PREBAKE"]))
    packer = shutil.which("packer")
    if not packer:
        print("pipelines: Packer is not installed, so its templates are not validated by it")
    texts = {path: (tree.TOP / path).read_text() for path in (*EXAMPLES, *OTHERS)}
    found = check(said, packer, texts)
    if "--self-test" in sys.argv[1:] and not found:
        self_test(said, packer, texts)
    tree.report(found, len(texts), "pipelines")


if __name__ == "__main__":
    main()
