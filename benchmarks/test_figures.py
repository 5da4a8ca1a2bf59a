"""The figures that are made of rounds: python3 -m unittest discover --start-directory benchmarks"""

import unittest

from harness import figures


def contender(name, difference=1e-6, kind="float32", is_ours=False):
    return {"name": name, "kind": kind, "is_ours": is_ours, "difference": difference}


def cell(batch, threads, gflops, peak):
    ours = {"name": "exemplar", "gflops": gflops, "percent": 100 * gflops / peak}
    return {"network": "small", "batch": batch, "threads": threads, "peak": peak, "contenders": [ours]}


class FigureTests(unittest.TestCase):
    def test_rates_are_medians_and_the_part_of_the_peak_is_each_round_s_own(self):
        # The machine is half as fast in the second round, and the probe sees it: 4, 4 and 2 % of the peak.
        rounds = [(contender("us", is_ours=True), [2.0, 4.0, 4.0])]
        (found,) = figures.of_rounds(rounds, [100.0, 50.0, 100.0], 8, 10**9)
        self.assertEqual((found["ms"], found["patches_per_second"], found["gflops"]), (4000, 2, 2))
        self.assertEqual(found["percent"], 4)
        self.assertNotIn("ratio", found)

    def test_ratios_are_taken_within_a_round_to_the_peer_that_is_fastest_over_all(self):
        ours = contender("us", is_ours=True)
        peers = [(contender("a"), [2.0, 8.0, 6.0]), (contender("b"), [9.0, 9.0, 1.0])]
        figures.of_rounds([(ours, [1.0, 2.0, 6.0]), *peers], [1.0] * 3, 1, 1)
        # 2, 4 and 1 times `a`; the quotient of the medians is 3.
        self.assertEqual(ours["ratio"], 2)
        self.assertEqual(peers[0][0]["ratio"], 1)

    def test_peers_of_another_precision_or_less_accurate_ones_are_no_measure(self):
        ours = contender("us", is_ours=True)
        peers = [
            (contender("int8", 1e-2, "int8"), [1.0]),
            (contender("coarse", 1e-4), [2.0]),
            (contender("fine"), [4.0]),
        ]
        figures.of_rounds([(ours, [1.0]), *peers], [1.0], 1, 1)
        self.assertEqual((ours["ratio"], ours["accurate_ratio"]), (2, 4))

    def test_scaling_is_a_part_of_what_the_probe_gains(self):
        cells = [cell(8, 1, 10, 100), cell(8, 2, 18, 190), cell(1, 1, 10, 100), cell(1, 2, 11, 190), cell(32, 2, 9, 9)]
        (row,) = figures.scaling(cells)
        self.assertEqual((row["network"], row["batch"], row["threads"]), ("small", 8, 2))
        self.assertAlmostEqual(row["gain"], 1.8)
        self.assertAlmostEqual(row["probe"], 1.9)
        self.assertAlmostEqual(row["part"], 1.8 / 1.9)


if __name__ == "__main__":
    unittest.main()
