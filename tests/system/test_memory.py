#!/usr/bin/python3
"""Memory is a budget, not a function of image size."""

import harness
import oci_image

LIMIT_BYTES = 80_000_000


class MemoryTest(harness.SystemTest):
    def test_an_image_of_a_gigabyte_is_baked_in_80_megabytes(self):
        image = oci_image.image([oci_image.big_layer(self.directory / "layer", 1 << 30)])
        reference = self.registry.serve(self.repository, image)
        result = self.prebake("bake", reference, timeout=1200)
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(reference, image)
        peak = result.max_rss_kib * 1024
        print(f"peak memory of a bake of 1 GiB: {peak / 1e6:.1f} MB")
        self.assertLess(peak, LIMIT_BYTES)


if __name__ == "__main__":
    harness.main()
