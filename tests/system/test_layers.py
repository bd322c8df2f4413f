#!/usr/bin/python3
"""How the bytes of a layer are stored on the disk."""

import os
import stat

import harness
import oci_image
from oci_image import directory, file, hardlink, layer, opaque, symlink, whiteout


class LayerTest(harness.SystemTest):
    def bake_layers(self, *layers, code=harness.DONE, **options):
        image = oci_image.image(list(layers), **options)
        reference = self.registry.serve(self.repository, image)
        result = self.bake(reference, code=code)
        return reference, image, result

    def test_every_compression_in_both_flavours(self):
        for flavour in ("oci", "docker"):
            for compression in ("gzip", "zstd", "none"):
                with self.subTest(flavour=flavour, compression=compression):
                    greeting = f"{flavour} {compression}"
                    extra = layer([file("etc/greeting", greeting + "\n")], compression, flavour)
                    image = oci_image.greeting_image("covered", [extra], flavour)
                    name = f"{self.repository}/{flavour}-{compression}"
                    reference = self.registry.serve(name, image)
                    self.bake(reference)
                    self.assert_baked(reference, image)
                    self.assertEqual(self.containerd.run_container(reference), greeting + "\n")

    def test_a_layer_of_several_gzip_members_is_read_to_its_end(self):
        tar = oci_image.tar_of([file("first", "1" * 5000), file("last", "2" * 5000)])
        parts = [oci_image.compressed(part, "gzip") for part in (tar[:6000], tar[6000:])]
        stored = oci_image.blob(oci_image.OCI_LAYER + "+gzip", b"".join(parts))
        reference, image, _ = self.bake_layers(oci_image.Layer(stored, oci_image.sha256(tar)))
        self.assert_baked(reference, image)
        with self.containerd.mounted(image.chain_id) as tree:
            self.assertEqual((tree / "last").read_text(), "2" * 5000)

    def test_whiteouts_remove_what_lower_layers_brought(self):
        _, image, _ = self.bake_layers(
            layer([directory("etc"), file("etc/gone", "x"), file("etc/kept", "x"),
                   directory("var"), file("var/old", "x"), directory("tree"),
                   file("tree/leaf", "x"), file("replaced", "x")]),
            layer([whiteout("etc/gone"), opaque("var"), file("var/new", "y"), whiteout("tree"),
                   directory("replaced"), file("replaced/inside", "y")]))
        with self.containerd.mounted(image.chain_id) as tree:
            self.assertEqual(sorted(os.listdir(tree / "etc")), ["kept"])
            self.assertEqual(os.listdir(tree / "var"), ["new"])
            self.assertFalse((tree / "tree").exists())
            self.assertEqual((tree / "replaced/inside").read_text(), "y")

    def test_modes_owners_links_and_attributes_survive(self):
        _, image, _ = self.bake_layers(
            layer([directory("bin", 0o750, uid=7, gid=8), file("bin/su", "#!", 0o4755, uid=0),
                   file("bin/mine", "m", 0o640, uid=1000, gid=2000),
                   hardlink("bin/also-mine", "bin/mine", 0o640, uid=1000, gid=2000),
                   symlink("bin/link", "/bin/mine"),
                   symlink("dangling", "nowhere"), directory("sticky", 0o1777),
                   file("bin/marked", "a", xattrs=(("user.colour", "red"),)),
                   file("long/" + "d" * 90 + "/" + "n" * 120, "deep")]))
        with self.containerd.mounted(image.chain_id) as tree:
            def facts(path):
                found = os.lstat(tree / path)
                return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
            self.assertEqual(facts("bin"), (0o750, 7, 8))
            self.assertEqual(facts("bin/su"), (0o4755, 0, 0))
            self.assertEqual(facts("bin/mine"), (0o640, 1000, 2000))
            self.assertEqual(facts("sticky"), (0o1777, 0, 0))
            self.assertTrue(os.path.samefile(tree / "bin/mine", tree / "bin/also-mine"))
            self.assertEqual(os.readlink(tree / "bin/link"), "/bin/mine")
            self.assertEqual(os.readlink(tree / "dangling"), "nowhere")
            self.assertEqual(os.getxattr(tree / "bin/marked", "user.colour"), b"red")
            self.assertEqual((tree / "long" / ("d" * 90) / ("n" * 120)).read_text(), "deep")
            self.assertEqual(int(os.lstat(tree / "bin/mine").st_mtime), oci_image.EPOCH)

    def test_many_layers(self):
        layers = [layer([file(f"file-{i}", str(i)), file("top", str(i))]) for i in range(40)]
        reference, image, _ = self.bake_layers(*layers)
        self.assert_baked(reference, image)
        with self.containerd.mounted(image.chain_id) as tree:
            self.assertEqual((tree / "top").read_text(), "39")
            self.assertEqual(len(os.listdir(tree)), 41)

    def test_layers_cannot_escape_from_their_tree(self):
        """containerd clamps such paths to the tree. Nothing outside the tree may change."""
        outside = self.directory / "outside"
        outside.mkdir()
        up = "../" * 30
        cases = {
            "dots": [file(f"{up}{str(outside)[1:]}/dots", "evil")],
            "absolute": [file(f"{outside}/absolute", "evil")],
            "symlink": [symlink("way-out", str(outside)), file("way-out/symlink", "evil")],
            "relative-symlink": [symlink("way-out", f"{up}{str(outside)[1:]}"),
                                 file("way-out/relative-symlink", "evil")],
            "whiteout": [whiteout(f"{up}{str(outside)[1:]}/victim"), file("x", "x")],
        }
        victim = outside / "victim"
        victim.write_text("unharmed")
        for name, entries in cases.items():
            with self.subTest(name):
                image = oci_image.image([layer(entries)])
                reference = self.registry.serve(f"{self.repository}/{name}", image)
                self.bake(reference)
                self.assert_baked(reference, image)
                self.assertEqual(os.listdir(outside), ["victim"])
                self.assertEqual(victim.read_text(), "unharmed")

    def test_a_symlink_of_a_lower_layer_is_no_way_out_either(self):
        outside = self.directory / "outside"
        outside.mkdir()
        reference, image, _ = self.bake_layers(
            layer([symlink("way-out", str(outside))]),
            layer([file("way-out/evil", "evil")]))
        self.assert_baked(reference, image)
        self.assertEqual(os.listdir(outside), [])

    def test_a_hard_link_to_a_file_of_the_host_fails_the_image(self):
        secret = self.directory / "secret"
        secret.write_text("of the host")
        bad_layer = layer([hardlink("stolen", "../" * 30 + str(secret)[1:])])
        image = oci_image.image([bad_layer])
        reference = self.registry.serve(self.repository, image)
        self.bake_beside_a_good_one(reference, bad_layer.blob.digest, image=image)
        self.assertEqual(os.stat(secret).st_nlink, 1)


if __name__ == "__main__":
    harness.main()
