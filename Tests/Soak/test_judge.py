"""The judge on series whose truth is known: python3 -m unittest discover Tests/Soak"""

import random
import unittest

import judge


def series(minutes, leak, seed, noise=300_000, warm_up=8_000_000):
    """Samples every ten seconds: a saturating warm-up, noise, outliers, and a leak of bytes over the judged part."""
    draw = random.Random(seed)
    seconds = minutes * 60
    for t in range(0, seconds + 1, 10):
        value = 200e6 + warm_up * (1 - 0.5 ** (t / (seconds / 20))) + draw.uniform(-noise, noise)
        value += leak * t / (seconds * (1 - judge.WARM_UP))
        yield t, value + (5e6 if draw.random() < 0.05 else 0)


class JudgeTests(unittest.TestCase):
    def test_flat(self):
        for seed in range(20):
            self.assertFalse(judge.leaks(list(series(30, 0, seed))), seed)

    def test_a_leak_is_caught(self):
        for seed in range(20):
            self.assertTrue(judge.leaks(list(series(30, 1_000_000, seed))), seed)

    def test_a_step_is_caught(self):
        """Whenever it comes, and however quiet the server is otherwise."""
        for part in [0.4, 0.5, 0.6, 0.8, 0.9, 0.95]:
            for noise in [0, 20_000, 300_000]:
                points = list(series(30, 0, 3, noise=noise))
                stepped = [(t, value + (1.5e6 if t >= part * points[-1][0] else 0)) for t, value in points]
                self.assertTrue(judge.leaks(stepped), (part, noise))

    def test_scatter_as_it_is_measured_is_neither_growth_nor_a_step(self):
        """Rests 16 s apart, normal with the deviation that the active bytes have: one run in a hundred may fail."""
        draw = random.Random(1)
        runs = [[(t, draw.gauss(77e6, 0.57e6)) for t in range(0, 1800, 16)] for _ in range(50)]
        self.assertLessEqual(sum(judge.leaks(run) for run in runs), 2)
        lossy = [[(t, value + (1.5e6 if t > 1650 else 0)) for t, value in run] for run in runs]
        self.assertGreaterEqual(sum(judge.leaks(run) for run in lossy), 45)

    def test_counts_that_do_not_come_down(self):
        flat = [(t, 20 + (t == 300)) for t in range(0, 1801, 10)]
        self.assertFalse(judge.lasts(flat))
        self.assertTrue(judge.lasts([(t, 20 + (t > 900)) for t in range(0, 1801, 10)]))

    def test_growth_is_measured(self):
        for leak in [0, 1e5, 1e6, 1e7]:
            found = judge.growth(list(series(30, leak, 1, noise=0, warm_up=0)))
            self.assertAlmostEqual(found, leak, delta=1 + 0.02 * leak)

    def test_the_warm_up_does_not_count(self):
        steep = [(t, min(t, 600) * 1e6) for t in range(0, 1801, 10)]
        self.assertEqual(judge.growth(steep), 0)
        self.assertFalse(judge.leaks([(t, -t) for t in range(100)]))

    def test_too_few_samples(self):
        with self.assertRaises(ValueError):
            judge.growth([(t, 0) for t in range(8)])


if __name__ == "__main__":
    unittest.main()
