"""Programs that know passwords, as short scripts: Docker's credential helpers and the kubelet's
credential providers. They refuse what does not follow the protocol."""

import json

API = "credentialprovider.kubelet.k8s.io/v1"

_HELPER = """#!/usr/bin/python3
import json, sys
server = sys.stdin.read()
answers = {answers!r}
if sys.argv[1:] != ["get"] or server not in answers:
    sys.exit(print("credentials not found in native keychain") or 1)
user, secret = answers[server]
print(json.dumps({{"ServerURL": server, "Username": user, "Secret": secret}}))
sys.exit({status})
"""

_PROVIDER = """#!/usr/bin/python3
import json, sys
request = json.load(sys.stdin)
if request["kind"] != "CredentialProviderRequest" or request["apiVersion"] != {api!r}:
    sys.exit("not my protocol")
if ":" in request["image"].rpartition("/")[2] or "@" in request["image"]:
    sys.exit("the image must have neither tag nor digest")
print(json.dumps({{"kind": "CredentialProviderResponse", "apiVersion": {api!r},
                  "cacheKeyType": "Registry", "cacheDuration": "10m",
                  "auth": {auth!r}}}))
sys.exit({status})
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def write_helper(directory, name, answers, status=0):
    """docker-credential-NAME. `answers`: server -> (user name, secret). It ends with the status
    after an answer."""
    write_program(directory / f"docker-credential-{name}",
                  _HELPER.format(answers=answers, status=status))


def write_provider(directory, name, auth, status=0):
    """A provider, and a configuration in the form that EKS has. `auth`: pattern of images -> (user
    name, password). It ends with the status after its answer. Returns the configuration and the
    directory of the program."""
    write_program(directory / name, _PROVIDER.format(api=API, status=status, auth={
        pattern: {"username": user, "password": password}
        for pattern, (user, password) in auth.items()}))
    config = directory / "config.json"
    config.write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig",
        "providers": [{"name": name, "matchImages": list(auth), "defaultCacheDuration": "12h",
                       "apiVersion": API}]}))
    return config, directory
