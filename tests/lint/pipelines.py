#!/usr/bin/python3
"""The examples for pipelines: valid by the rules of the tools that read them, and what they say of
prebake is so.

Packer's own validator judges the templates; the others are held against their documented schemas,
which stand here as data. PREBAKE names the program, whose --help is asked. --self-test breaks the
examples and expects each fault to be found."""

import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import tree
import yaml

PACKAGING = tree.TOP / "packaging"
PACKER = ("packer/eks-al2023.pkr.hcl", "packer/ubuntu-docker.pkr.hcl")
COMPONENT, KARPENTER = "image-builder/component.yml", "karpenter/nodes.yaml"
NODEADM, USER_DATA = "nodeadm/50-prebake.yaml", "cloud-init/builder.yaml"
FILES = (*PACKER, COMPONENT, KARPENTER, NODEADM, USER_DATA)

# Of Image Builder's component documents.
COMPONENT_KEYS = {"name", "description", "schemaVersion", "parameters", "constants", "phases"}
PHASES = ["build", "validate", "test"]
STEP_KEYS = {"name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs", "if", "loop"}
ON_FAILURE = {"Abort", "Continue", "Ignore"}
PARAMETER_KEYS = {"type", "description", "default", "allowedValues", "allowedPattern"}
# Of the custom resources of Karpenter: kind -> apiVersion, what spec needs, what else it may have.
RESOURCES = {
    "EC2NodeClass": ("karpenter.k8s.aws/v1",
                     {"amiSelectorTerms", "subnetSelectorTerms", "securityGroupSelectorTerms"},
                     {"amiFamily", "role", "instanceProfile", "blockDeviceMappings", "userData",
                      "metadataOptions", "instanceStorePolicy", "detailedMonitoring", "tags",
                      "kubelet", "associatePublicIPAddress"}),
    "NodePool": ("karpenter.sh/v1", {"template"}, {"disruption", "limits", "weight"}),
}
TEMPLATE_KEYS = {"nodeClassRef", "requirements", "taints", "startupTaints", "expireAfter",
                 "terminationGracePeriod"}
# Of nodeadm's NodeConfig.
NODE_CONFIG = {"cluster": None, "featureGates": None, "kubelet": {"config", "flags"},
               "containerd": {"config", "baseRuntimeSpec"},
               "instance": {"localStorage", "environment"}}
USER_DATA_KEYS = {"packages", "write_files", "runcmd"}
FILE_KEYS = {"path", "permissions", "content"}

# What Packer has learnt after Debian's 1.6 is looked over by eye.
NEWER = (r"(?ms)^packer \{.*?^\}\n", r"(?ms)^  metadata_options \{.*?^  \}\n",
         r"(?m)^  imds_support .*\n")
COMMAND = re.compile(r"(?<![\w./-])prebake ([a-z][a-z-]+)([^\"'\n;|&}]*)")
UNIT = re.compile(r"(?<![\w./-])(prebake[a-z-]*\.(?:service|target))")
KEY = re.compile(r"(?<![\w./-])((?:guard|readiness|registry|bake|seal|firstboot)\.[a-z_]+)\b")


def unknown(where, found, known):
    return [f"{where}: {key} is not known" for key in sorted(set(found) - set(known))]


def packer_findings(name, text):
    for pattern in NEWER:
        text, count = re.subn(pattern, "", text)
        if count != 1:
            return [f"{name}: not one of what is left out of it for Packer 1.6: {pattern}"]
    findings = []
    with tempfile.TemporaryDirectory() as directory:
        template = pathlib.Path(directory, "template.pkr.hcl")
        template.write_text(text)
        upload = pathlib.Path(directory, "upload")
        upload.write_text("")
        environment = {"PATH": os.environ["PATH"], "HOME": directory, "CHECKPOINT_DISABLE": "1",
                       "AWS_EC2_METADATA_DISABLED": "true"}
        for command in (["fmt", "-check", "-diff"],
                        ["validate", f"-var=package={upload}", f"-var=image_list={upload}"]):
            done = subprocess.run(["packer", *command, template], env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                findings.append(f"{name}: packer {command[0]}: {done.stdout.strip()}")
    return findings


def component_findings(name, text):
    document = yaml.safe_load(text)
    findings = unknown(name, document, COMPONENT_KEYS)
    if document.get("schemaVersion") != 1.0:
        findings.append(f"{name}: schemaVersion is not 1.0")
    declared = set()
    for parameter in document.get("parameters", []):
        for key, value in parameter.items():
            declared.add(key)
            findings += unknown(f"{name}: {key}", value, PARAMETER_KEYS)
            if value.get("type") != "string" or not value.get("description"):
                findings.append(f"{name}: {key} is not a string with a description")
    used = set(re.findall(r"\{\{ *(\w+) *\}\}", text))
    findings += [f"{name}: {key} is not declared, or not used" for key in sorted(used ^ declared)]
    if [phase.get("name") for phase in document.get("phases", [])] != PHASES:
        findings.append(f"{name}: the phases are not {PHASES}")
    for phase in document.get("phases", []):
        for step in phase.get("steps", []):
            where = f"{name}: {step.get('name')}"
            findings += unknown(where, step, STEP_KEYS)
            if step.get("onFailure") not in ON_FAILURE:
                findings.append(f"{where}: onFailure is none of {sorted(ON_FAILURE)}")
            inputs = step.get("inputs")
            if step.get("action") == "ExecuteBash":
                commands = inputs.get("commands") if isinstance(inputs, dict) else None
                if not commands or not all(isinstance(line, str) for line in commands):
                    findings.append(f"{where}: its commands are not lines")
                elif not commands[0].startswith("set -eu"):
                    findings.append(f"{where}: goes on when a command fails")
            elif step.get("action") == "S3Download":
                if not all(set(item) == {"source", "destination"} for item in inputs):
                    findings.append(f"{where}: not a source and a destination")
            else:
                findings.append(f"{where}: the action {step.get('action')} is not known")
    return findings


def karpenter_findings(name, text):
    findings, named = [], {}
    for document in yaml.safe_load_all(text):
        kind = document.get("kind")
        if kind not in RESOURCES:
            findings.append(f"{name}: {kind} is no kind of Karpenter's")
            continue
        version, needed, more = RESOURCES[kind]
        named[kind] = document["metadata"]["name"]
        if document.get("apiVersion") != version:
            findings.append(f"{name}: {kind} is of {version}")
        findings += unknown(f"{name}: {kind}", document["spec"], needed | more)
        findings += [f"{name}: {kind} has no {key}"
                     for key in sorted(needed - set(document["spec"]))]
        if kind == "EC2NodeClass" and ("role" in document["spec"]) == (
                "instanceProfile" in document["spec"]):
            findings.append(f"{name}: not one of role and instanceProfile")
        if kind == "NodePool":
            spec = document["spec"]["template"]["spec"]
            findings += unknown(f"{name}: the template", spec, TEMPLATE_KEYS)
            wanted = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass",
                      "name": named.get("EC2NodeClass")}
            if spec.get("nodeClassRef") != wanted:
                findings.append(f"{name}: nodeClassRef is not {wanted}")
    return findings


def nodeadm_findings(name, text):
    document = yaml.safe_load(text)
    findings = []
    if (document.get("apiVersion"), document.get("kind")) != ("node.eks.aws/v1alpha1",
                                                               "NodeConfig"):
        findings.append(f"{name}: not a NodeConfig of node.eks.aws/v1alpha1")
    findings += unknown(name, document["spec"], NODE_CONFIG)
    for key, known in NODE_CONFIG.items():
        if known and key in document["spec"]:
            findings += unknown(f"{name}: {key}", document["spec"][key], known)
    try:
        tomllib.loads(document["spec"].get("containerd", {}).get("config", ""))
    except tomllib.TOMLDecodeError as error:
        findings.append(f"{name}: containerd's configuration: {error}")
    return findings


def user_data_findings(name, text):
    """Beside what cloud-init itself says, which the test of the packages asks."""
    if not text.startswith("#cloud-config\n"):
        return [f"{name}: does not begin with #cloud-config"]
    document = yaml.safe_load(text)
    findings = unknown(name, document, USER_DATA_KEYS)
    for file in document.get("write_files", []):
        findings += unknown(f"{name}: {file.get('path')}", file, FILE_KEYS)
    for command in document.get("runcmd", []):
        if command[:2] != ["sh", "-euc"] or len(command) != 3:
            findings.append(f"{name}: goes on when a command fails: {command}")
    return findings


@functools.cache
def help_of(*command):
    return subprocess.run([os.environ["PREBAKE"], *command, "--help"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout


@functools.cache
def known_keys():
    """table.key of the configuration, commented out or not."""
    keys, table = set(), ""
    for line in (PACKAGING / "prebake.toml").read_text().splitlines():
        if found := re.match(r"\[(\w+)\]", line):
            table = found[1]
        elif found := re.match(r"#?(\w+) = ", line):
            keys.add(f"{table}.{found[1]}")
    return keys


def prebake_findings(name, text):
    """What is said of prebake itself, in commands and in comments."""
    findings = []
    # In comments "prebake" may begin a sentence; a command has quotes there.
    lines = [line for line in text.splitlines()
             if not line.lstrip().startswith("#") or '"prebake ' in line]
    for command, rest in COMMAND.findall("\n".join(lines)):
        if not re.search(rf"(?m)^ +{command} ", help_of()):
            findings.append(f"{name}: prebake has no command {command}")
            continue
        for option in re.findall(r"(?<!\S)(--?[a-z-]+)", rest):
            if not re.search(rf"(?<![\w-]){re.escape(option)}\b", help_of(command) + help_of()):
                findings.append(f"{name}: prebake {command} has no option {option}")
    for unit in UNIT.findall(text):
        if not (tree.TOP / "systemd" / unit).exists():
            findings.append(f"{name}: there is no unit {unit}")
    for key in KEY.findall(text):
        if key not in known_keys():
            findings.append(f"{name}: there is no key {key}")
    return findings


JUDGES = {**dict.fromkeys(PACKER, packer_findings), COMPONENT: component_findings,
          KARPENTER: karpenter_findings, NODEADM: nodeadm_findings, USER_DATA: user_data_findings}


def findings_of(name, text):
    return JUDGES[name](f"packaging/{name}", text) + prebake_findings(f"packaging/{name}", text)


# File, what is put in place of what, what is to be found.
FAULTS = (
    (PACKER[0], "type        = string", "type = string", "packer fmt"),
    (PACKER[0], 'inline_shebang = "/bin/bash -eu"', 'inline_shbang  = "/bin/bash -eu"', "validate"),
    (PACKER[1], "iops                  = 3000", "iops                  = 1", "IOPS"),
    (PACKER[1], "packer {\n", "paker {\n", "left out"),
    (PACKER[1], "prebake seal --yes", "prebake seal --sure", "no option --sure"),
    (COMPONENT, "schemaVersion: 1.0", "schemaVersion: 2.0", "schemaVersion"),
    (COMPONENT, "action: S3Download", "action: S3Fetch", "the action S3Fetch"),
    (COMPONENT, "onFailure: Abort", "onFailure: Stop", "onFailure"),
    (COMPONENT, "maxAttempts", "tries", "tries is not known"),
    (COMPONENT, "{{ Package }}", "{{ Packet }}", "Packet is not declared"),
    (COMPONENT, "- set -euf", "- set -f", "goes on"),
    (COMPONENT, "- name: test", "- name: check", "phases"),
    (COMPONENT, "type: string\n      default", "kind: string\n      default", "kind is not known"),
    (COMPONENT, "prebake verify --deep", "prebake verfy --deep", "no command verfy"),
    (KARPENTER, "karpenter.sh/v1\n", "karpenter.sh/v1beta1\n", "NodePool is of"),
    (KARPENTER, "  role: ", "  rolle: ", "rolle is not known"),
    (KARPENTER, "  role: ", "  # role: ", "not one of role"),
    (KARPENTER, "kind: EC2NodeClass\n        name: baked", "kind: EC2NodeClass\n        name: x",
     "nodeClassRef"),
    (KARPENTER, "prebake-ready.target", "prebake-redy.target", "no unit prebake-redy.target"),
    (KARPENTER, "readiness.deadline", "readiness.dedline", "no key readiness.dedline"),
    (NODEADM, "kind: NodeConfig", "kind: Node", "not a NodeConfig"),
    (NODEADM, "  kubelet:\n", "  kublet:\n", "kublet is not known"),
    (NODEADM, "pinned_images]", "pinned_images", "containerd's configuration"),
    (USER_DATA, "#cloud-config", "# cloud-config", "does not begin"),
    (USER_DATA, "permissions", "mode", "mode is not known"),
    (USER_DATA, "[sh, -euc, \"systemctl", "[sh, -c, \"systemctl", "goes on"),
)


def self_test():
    missed = []
    for name, old, new, expected in FAULTS:
        text = (PACKAGING / name).read_text()
        if old not in text:
            missed.append(f"{name} has no {old!r} to break")
        elif not any(expected in finding for finding in findings_of(name, text.replace(old, new))):
            missed.append(f"{name}: {new!r} was not found")
    tree.report(missed, len(FAULTS), "self-test of the pipelines lint")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    findings = [finding for name in FILES
                for finding in findings_of(name, (PACKAGING / name).read_text())]
    tree.report(findings, len(FILES), "pipelines")


if __name__ == "__main__":
    main()
