#!/usr/bin/python3
"""Which child of an index is baked, and what is rejected because it could not run."""

import harness
import oci_image

HOST = f"linux/{oci_image.host_architecture()}"
OTHER = f"linux/{oci_image.other_architecture()}"


def for_architecture(name, architecture, **options):
    return oci_image.small_image(f"{name}-{architecture}", architecture=architecture, **options)


class PlatformTest(harness.SystemTest):
    def two_platforms(self, flavour="oci"):
        children = [(platform, for_architecture(f"{self.repository}/{flavour}",
                                                platform.split("/")[1], flavour=flavour))
                    for platform in (OTHER, HOST)]
        index = oci_image.index(children, flavour=flavour, with_attestation=flavour == "oci")
        return index, dict(children)

    def test_the_hosts_platform_is_chosen_from_an_index(self):
        for flavour in ("oci", "docker"):
            with self.subTest(flavour):
                self.registry.behave()
                index, children = self.two_platforms(flavour)
                reference = self.registry.serve(f"{self.repository}/{flavour}", index)
                self.bake(reference)
                self.assert_baked(reference, index)
                unwanted = {blob.digest for blob in children[OTHER].blobs}
                if index.attestation:
                    unwanted |= {index.attestation.manifest.digest}
                asked = {item.path.rpartition("/")[2] for item in self.registry.gets()}
                self.assertEqual(asked & unwanted, set())

    def test_labels_of_an_index_cover_all_children(self):
        index, _ = self.two_platforms()
        reference = self.registry.serve(self.repository, index)
        self.bake(reference)
        labels = self.containerd.blobs()[index.top.digest]
        children = [child.manifest.digest for child in index.children]
        for i, digest in enumerate(children + [index.attestation.manifest.digest]):
            self.assertEqual(labels[f"containerd.io/gc.ref.content.m.{i}"], digest)

    # `ctr images check` fails if one image is only for another platform: these tests have their own
    # containerd.

    def test_another_platform_can_be_baked_on_request(self):
        self.fresh_containerd()
        index, children = self.two_platforms()
        reference = self.registry.serve(self.repository, index)
        self.bake(reference, "--platform", OTHER)
        wanted = children[OTHER]
        images = self.containerd.images()
        self.assertEqual(images[reference][0], index.top.digest)
        self.assertIn(wanted.config.digest, images)
        self.assertIn(wanted.layers[0].blob.digest, self.containerd.blobs())
        self.assertEqual(self.containerd.snapshots()[wanted.chain_id], "Committed")
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_a_child_that_cri_would_not_choose_is_not_asked_of_it(self):
        """This host could run it, but CRI uses the other child of the same index."""
        self.fresh_containerd()
        foreign = {"linux/amd64": "linux/386", "linux/arm64": "linux/arm/v7"}[HOST]
        _, architecture, *variant = foreign.split("/")
        wanted = for_architecture(self.repository, architecture, variant="".join(variant))
        own = for_architecture(self.repository, oci_image.host_architecture())
        index = oci_image.index([(HOST, own), (foreign, wanted)])
        reference = self.registry.serve(self.repository, index)
        baked = self.bake(reference, "--platform", foreign)
        self.assert_says(baked, "warning", "CRI", foreign, reference)
        images = self.containerd.images()
        self.assertEqual(images[reference][0], index.top.digest)
        self.assertIn(wanted.config.digest, images)
        self.assertNotIn(own.config.digest, images)
        self.assertEqual(self.containerd.snapshots()[wanted.chain_id], "Committed")
        entry, placements = self.recorded(reference)
        self.assertEqual(entry["platform"], foreign)
        self.assertIs(placements["k8s.io"]["criResolves"], False)
        verified = self.prebake("verify")
        self.assertEqual(verified.code, harness.DONE, verified)
        self.assert_says(verified, "warning", HOST, foreign)

    def test_what_cri_resolves_is_recorded(self):
        index, _ = self.two_platforms()
        reference = self.registry.serve(self.repository, index)
        self.bake(reference)
        _, placements = self.recorded(reference)
        self.assertIs(placements["k8s.io"]["criResolves"], True)

    def test_the_list_chooses_a_platform(self):
        self.fresh_containerd()
        index, children = self.two_platforms()
        reference = self.registry.serve(self.repository, index)
        self.bake("-f", self.list_file(
            f'[[image]]\nref = "{reference}"\nplatform = "{OTHER}"\n'))
        self.assertIn(children[OTHER].config.digest, self.containerd.images())

    def test_an_index_without_the_platform_is_refused(self):
        child = for_architecture(self.repository, "s390x")
        index = oci_image.index([("linux/s390x", child)])
        reference = self.registry.serve(self.repository, index)
        self.bake_beside_a_good_one(reference, HOST, "linux/s390x")

    def test_a_single_manifest_of_the_wrong_platform_is_refused(self):
        image = for_architecture(self.repository, oci_image.other_architecture())
        reference = self.registry.serve(self.repository, image)
        self.bake_beside_a_good_one(reference, HOST, OTHER, image=image)

    def test_a_malformed_platform_is_a_usage_error(self):
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        for odd in ("linux/", "/", "linux/amd64/v1/more", "lin ux/amd64"):
            with self.subTest(odd):
                result = self.bake(reference, "--platform", odd, code=harness.USAGE)
                self.assert_says(result, odd)


if __name__ == "__main__":
    harness.main()
