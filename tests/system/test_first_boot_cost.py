#!/usr/bin/python3
"""The processor time of a first boot with nothing to do."""

import statistics

import harness
from booted import BootTest

FIRST_BOOT = "prebake-firstboot.service"


class CostTest(BootTest):
    def test_a_boot_with_nothing_to_do_costs_little(self):
        booted = self.make_first_machine("first").boot()
        self.assert_claimed(booted)
        seconds = []
        for _ in range(9):
            booted.run("systemctl", "reset-failed", FIRST_BOOT)  # it may start only once per boot
            booted.run("systemctl", "restart", FIRST_BOOT)
            usage = booted.run("systemctl", "show", "--value", "-p", "CPUUsageNSec", FIRST_BOOT)
            seconds.append(int(usage) * 1e-9)
        median = statistics.median(seconds)
        print(f"\nnothing to do: {median * 1e3:.1f} ms, with the sandbox "
              f"({min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f})", flush=True)
        self.assertLess(median, 0.05)
        self.assertIn("nothing to do", booted.journal(FIRST_BOOT))


if __name__ == "__main__":
    harness.main()
