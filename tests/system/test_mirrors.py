#!/usr/bin/python3
"""hosts.toml: which host is asked for what, in which order. ctr is the measure."""

import collections
import dataclasses
import re

import certificates
import harness
import oci_image
import registry as scripted

NOWHERE = "http://127.0.0.1:1"  # nothing listens there


@dataclasses.dataclass
class Case:
    """A hosts.toml with {m1}, {m2}, {registry} as URLs, and who has the image."""
    name: str
    hosts: str
    holders: tuple = ("m1", "m2", "registry")
    directory: str = "{place}"  # below the root; of the registry
    prefix: str = ""            # before the repository on the mirrors
    behave: object = None       # called with the servers and the image
    since: tuple = (0,)         # the version of containerd that does the same


def fails_with(status, what="/"):
    return lambda servers, image: servers["m1"].on(what, scripted.error(status))


def dies_in_mid_layer(servers, image):
    """The first mirror breaks a transfer, and has the layer no more."""
    digest = image.layers[0].blob.digest
    servers["m1"].on(digest, scripted.truncate(60_000), times=1)
    broken = []

    def is_gone(request, response):
        if not broken:
            broken.append(request)
            return response
        return scripted.error(404)(request, response)
    servers["m1"].on(digest, is_gone)


BOTH = '[host."{m1}"]\n[host."{m2}"]\n'
CASES = [
    Case("the first has it", BOTH),
    Case("in the order of the file", '[host."{m2}"]\n[host."{m1}"]\n'),
    Case("the first lacks it", BOTH, holders=("m2",)),
    Case("only the registry has it", BOTH, holders=("registry",)),
    Case("the server instead of the registry", 'server = "{m2}"\n[host."{m1}"]\n', holders=("m2",)),
    # containerd 1.x takes a file without hosts for one that it cannot read.
    Case("a server alone", 'server = "{m1}"\n', since=(2, 0)),
    Case("the first cannot be reached", f'[host."{NOWHERE}"]\n[host."{{m2}}"]\n'),
    *(Case(f"the first answers {status}", BOTH, behave=fails_with(status))
      for status in (400, 403, 404, 410, 451, 500, 502, 503)),
    *(Case(f"the first answers {status} for blobs", BOTH, behave=fails_with(status, "/blobs/"))
      for status in (403, 404, 500)),
    Case("the first dies in the middle of a layer", BOTH, behave=dies_in_mid_layer),
    Case("a host that does not resolve", '[host."{m1}"]\ncapabilities = ["pull"]\n[host."{m2}"]\n'),
    Case("no host but the registry resolves",
         '[host."{m1}"]\ncapabilities = ["pull"]\n[host."{m2}"]\ncapabilities = ["pull"]\n'),
    Case("a host to push to", '[host."{m1}"]\ncapabilities = ["push"]\n[host."{m2}"]\n'),
    Case("a path", '[host."{m1}/us"]\n[host."{m2}/v2/"]\n'),
    Case("a path that replaces the API's",
         '[host."{m1}/v2/cache"]\noverride_path = true\n', prefix="cache/"),
    Case("a host for all registries", BOTH, directory="_default"),
    Case("a directory without a colon", BOTH, directory="{colonless}"),
    Case("an empty file", ""),
    Case("a file with a comment", "# nothing\n"),
]


class SameRequestsTest(harness.SystemTest):
    """prebake and ctr pull equal images with the same files, and the servers see the same."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = {"m1": scripted.Registry(), "m2": scripted.Registry(),
                       "registry": cls.registry}
        for name in ("m1", "m2"):
            cls.addClassCleanup(cls.servers[name].stop)

    def hosts_directory(self, case, who):
        place = self.registry.host
        directory = self.directory / who / case.directory.format(
            place=place, colonless=place.replace(":", "_") + "_")
        directory.mkdir(parents=True)
        urls = {name: server.url for name, server in self.servers.items()}
        (directory / "hosts.toml").write_text(case.hosts.format(**urls))
        return directory.parent

    def requests_of(self, case, who, pull):
        """What was asked of whom, by resource: (server, path, range, status)."""
        repository = f"{self.repository}-{who}"
        image = oci_image.small_image(repository, size=100_000)
        for server in self.servers.values():
            server.behave()
        for name in case.holders:
            prefix = case.prefix if name != "registry" else ""
            self.servers[name].serve(prefix + repository, image)
        if case.behave:
            case.behave(self.servers, image)
        pull(self.hosts_directory(case, who), f"{self.registry.host}/{repository}:1.0")
        seen = collections.defaultdict(list)
        words = {repository: "REPOSITORY", image.top.digest: "MANIFEST",
                 image.config.digest: "CONFIG", image.layers[0].blob.digest: "LAYER"}
        requests = [(request.arrived, name, request) for name, server in self.servers.items()
                    for request in server.requests]
        for _, name, request in sorted(requests, key=lambda item: item[0]):
            path = re.sub("|".join(map(re.escape, words)), lambda match: words[match[0]],
                          request.path)
            what = path.partition("?")[0].rpartition("/")[2]
            # ctr asks for a tag by HEAD alone.
            if what != "1.0" or request.method == "HEAD":
                seen[what].append((name, path, request.range, request.status))
        return dict(seen)

    def with_ctr(self, hosts, reference):
        # Since 2.0, ctr leaves pulling to the daemon unless told otherwise.
        help_text = self.containerd.run_ctr("images", "pull", "--help").stdout
        local = ["--local"] if "--local" in help_text else []
        result = self.containerd.run_ctr("images", "pull", *local, "--hosts-dir", hosts, reference,
                                         namespace="mirrors")
        self.assertEqual(result.returncode, 0, result)

    def with_prebake(self, hosts, reference):
        self.bake("--hosts-dir", hosts, "-n", "mirrors-too", reference)

    def test_the_same_requests_in_the_same_order(self):
        known = [case for case in CASES if self.containerd.version >= case.since]
        self.assertGreater(len(known), 20)
        for number, case in enumerate(known):
            with self.subTest(case.name):
                self.directory = self.workspace.path / f"case-{number}"
                self.directory.mkdir()
                self.repository = f"case-{number}"
                theirs = self.requests_of(case, "ctr", self.with_ctr)
                ours = self.requests_of(case, "prebake", self.with_prebake)
                self.assertEqual(ours, theirs)
                self.assertLessEqual({"1.0", "MANIFEST", "CONFIG", "LAYER"}, ours.keys())


class MirrorTest(harness.SystemTest):
    """What containerd does not do."""

    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository)
        self.mirror = self.fresh_registry()
        self.reference = f"{self.registry.host}/{self.repository}:1.0"
        self.hosts = self.directory / "certs.d"

    def write_hosts(self, text):
        directory = self.hosts / self.registry.host
        directory.mkdir(parents=True)
        (directory / "hosts.toml").write_text(text)

    def test_a_file_that_does_not_parse_is_an_error_with_its_line(self):
        self.registry.serve(self.repository, self.image)
        self.write_hosts(f'server = "{self.mirror.url}"\nskip_verify = "no"\n')
        result = self.bake("--hosts-dir", self.hosts, self.reference, code=harness.USAGE)
        self.assert_says(result, f"{self.hosts}/{self.registry.host}/hosts.toml:2: skip_verify",
                         "true or false")
        self.assertEqual(self.registry.requests, [])

    def test_a_file_that_others_can_change_is_refused(self):
        self.registry.serve(self.repository, self.image)
        self.write_hosts("")
        file = self.hosts / self.registry.host / "hosts.toml"
        file.write_text(f'server = "{self.mirror.url}"\n')
        file.chmod(0o666)
        result = self.bake("--hosts-dir", self.hosts, self.reference, code=harness.FAILED)
        self.assert_says(result, str(file), "0666")

    def test_a_mirror_gets_its_own_credentials_and_the_registry_its_own(self):
        for server, user in ((self.mirror, "mirror"), (self.registry, "itself")):
            server.require_basic(lambda name, password, user=user: (name, password) == (user, "pw"))
        self.addCleanup(setattr, self.registry, "_basic", None)
        self.registry.serve(self.repository, self.image)
        self.write_hosts(f'[host."{self.mirror.url}"]\n')
        logins = self.directory / "auth.json"
        logins.write_text(
            '{"auths": {"%s": {"username": "mirror", "password": "pw"},'
            ' "%s": {"username": "itself", "password": "pw"}}}'
            % (self.mirror.host, self.registry.host))
        self.bake("--hosts-dir", self.hosts, "--authfile", logins, self.reference)
        self.assertEqual({item.user for item in self.mirror.requests}, {"", "mirror"})
        self.assertEqual({item.user for item in self.registry.requests}, {"", "itself"})

    def test_all_failures_are_named(self):
        self.write_hosts(f'[host."{self.mirror.url}"]\n[host."{NOWHERE}"]\n')
        result = self.bake("--hosts-dir", self.hosts, self.reference, code=harness.FAILED)
        self.assert_says(result, f"{self.mirror.url}: ", f"{NOWHERE}: ", "connection refused",
                         "404")

    def test_the_file_for_a_ca_is_the_one_that_counts(self):
        """Each registry is served by one host, whose CA is not known."""
        authority = certificates.Authority(self.directory / "authority")
        unknown = self.fresh_registry(tls=authority.for_server("127.0.0.1"))
        server = f'server = "{unknown.url}"\n'
        mirror = server + 'capabilities = ["push"]\n' + f'[host."{unknown.url}"]\n'
        for name, place, text, table in (
                ("docker.io", "docker.io", server, ""),
                ("quay.io", "quay.io", mirror, f' of [host."{unknown.url}"]'),
                ("ghcr.io", "_default", mirror, f' of [host."{unknown.url}"]')):
            with self.subTest(name):
                file = self.hosts / place / "hosts.toml"
                file.parent.mkdir(parents=True)
                file.write_text(text)
                result = self.bake("--hosts-dir", self.hosts, f"{name}/library/a:1",
                                   code=harness.FAILED, environment={"SSL_CERT_FILE": "/dev/null"})
                self.assert_says(result, unknown.host, f'as "ca"{table} in {file}')
        self.assertEqual(unknown.requests, [])

    def test_rewrites_of_k3s(self):
        self.mirror.serve(f"team/{self.repository}", self.image)
        self.write_hosts(f'[host."{self.mirror.url}".rewrite]\n"^(.*)$" = "team/$1"\n')
        self.bake("--hosts-dir", self.hosts, self.reference)
        self.assert_baked(self.reference, self.image)
        self.assertEqual(self.registry.requests, [])


if __name__ == "__main__":
    harness.main()
