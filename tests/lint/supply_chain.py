#!/usr/bin/python3
"""The examples and scripts of packaging/ and README show nothing that lets somebody else in: no
names below /tmp that others can guess, no secrets on command lines, no check that is turned off.

Comments count: people copy from them. --self-test checks that each pattern is found and that safe
text is not."""

import re
import sys

import tree

LOOKED_AT = ("packaging/", "systemd/", "README.md")
SECRET = r"[\w-]*(?:password|passwd|secret|token|api[_-]?key|credential)[\w-]*"
# (pattern, what is wrong, texts in which it must be found)
UNWANTED = (
    (r"(?<![\w.-])(?:/var)?/tmp/(?![\w.-]*X{3})[\w${.-][\w${}./-]*",
     "another user can put this file there first; use /run, `mktemp -d` or a directory of root",
     ("dnf install /tmp/prebake.rpm", '"/tmp/$LIST"', "cd /var/tmp/build", "/tmp/${list}")),
    (r"trusted=yes|allow-insecure=yes|AllowUnauthenticated|--allow-(?:unauthenticated|insecure)|"
     r"--force-yes|--no-?gpg-?checks?|gpgcheck\s*=\s*0|disable_gpg_check|--nosignature|--nodigest|"
     r"allow_unauthenticated",
     "turns off the check of signatures",
     ("deb [trusted=yes] https://x y main", "apt-get --allow-unauthenticated install x",
      "dnf install --nogpgcheck x.rpm", "zypper --no-gpg-checks in x", "gpgcheck=0",
      "gpgcheck = 0", "localpkg_gpgcheck=0", "    disable_gpg_check: true",
      "rpm -i --nosignature x.rpm")),
    (r"\bcurl\b[^|;&\n]*\s(?:--insecure\b|-[a-zA-Z]*k[a-zA-Z]*\b)|--no-check-certificate|"
     r"--no-verify-ssl|validate_certs:\s*(?:no|false)|tls-verify=false|insecure_skip_verify|"
     r"skip[_-]tls[_-]verify|sslverify\s*=\s*(?:0|false)",
     "turns off the check of certificates",
     ("curl -k https://x", "curl -fsSLk https://x", "curl -s --insecure https://x",
      "wget --no-check-certificate https://x", "    validate_certs: false",
      "aws --no-verify-ssl s3", "skopeo copy --src-tls-verify=false",
      "insecure_skip_verify = true")),
    (r"StrictHostKeyChecking[= ]+(?:no|off)\b|UserKnownHostsFile[= ]+/dev/null|"
     r"host_key_checking\s*=\s*(?:false|no|0)|HOST_KEY_CHECKING=(?:false|no|0)",
     "turns off the check of host keys",
     ("ssh -o StrictHostKeyChecking=no x", "ssh -o UserKnownHostsFile=/dev/null x",
      "host_key_checking = False", "ANSIBLE_HOST_KEY_CHECKING=false ansible-playbook x")),
    (r"\b(?:curl|wget)\b[^\n]*\|\s*(?:sudo\s+)?(?:ba)?sh\b",
     "runs what a server answers",
     ("curl -fsSL https://x | sh", "wget -qO- https://x | sudo bash")),
    (rf"(?<![\w-])(?:-e|-var|--build-arg|--env|--extra-vars)[ =][\"']?{SECRET}=|"
     rf"--(?:password|token|secret-key|secret)[ =](?!stdin)\S|"
     r"\b(?:docker|podman|nerdctl|crane|oras|helm)\b[^\n]*\blogin\b[^\n]*\s-p[ =]|"
     r"\b(?:curl|wget)\b[^\n]*\s(?:-u|--user)[ =]?\S+:\S|"
     r"\bcurl\b[^\n]*[\"']Authorization:",
     "a secret on a command line, which all users of the machine can read",
     ("packer build -var registry_password=$P x", "ansible-playbook -e db_token=x bake.yml",
      "docker login -u x -p $P host", "crictl pull --password $P", "tool --token=$T",
      "curl -u user:$P https://x", 'curl -H "Authorization: Bearer $T" https://x')),
)
SAFE = (
    "work=$(mktemp -d /tmp/prebake-quickstart.XXXX)", "unlike /tmp, where", "files in /tmp.",
    "--password-stdin", "aws ecr get-login-password --region x", "http_tokens = \"required\"",
    "curl -s http://localhost:9813/readyz", "curl -s --unix-socket /run/x http://x", "gpgcheck=1",
    "localpkg_gpgcheck", "/run/prebake-build/prebake.rpm", "-var package_sha256=x", "tar -tmp/x",
    "validate_certs: true", "curl -fsSL -o key.asc https://x", "StrictHostKeyChecking=yes",
)
PATTERNS = [(re.compile(pattern, re.IGNORECASE), wrong) for pattern, wrong, _ in UNWANTED]


def findings_in(path, text):
    for pattern, wrong in PATTERNS:
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f'{path}:{line}: "{match[0]}": {wrong}'


def self_test():
    wrong = []
    for _, what, texts in UNWANTED:
        for text in texts:
            if not any(what in finding for finding in findings_in("self-test", text)):
                wrong.append(f"not found: {text}")
    for text in SAFE:
        wrong += findings_in("self-test: safe text", text)
    if [finding.split(" ")[0] for finding in findings_in("x", "one\ngpgcheck=0\n")] != ["x:2:"]:
        wrong.append("the line is wrong")
    tree.report(wrong, len(UNWANTED), "self-test of the supply chain")


def main():
    if "--self-test" in sys.argv[1:]:
        self_test()
    paths = [path for path in tree.files() if str(path).startswith(LOOKED_AT)]
    findings = []
    for path in paths:
        findings += findings_in(path, (tree.TOP / path).read_text())
    tree.report(findings, len(paths), "supply chain")


if __name__ == "__main__":
    main()
