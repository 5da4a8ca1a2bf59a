"""How sessions end, whatever becomes of them: python3 -m unittest discover --start-directory benchmarks"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import arguments, contender, ending, environment
from harness.serving import arguments as serving_arguments

ENDING = ending.Ending(
    "results.json", ("cells",),
    lambda results, folder: (folder / "report.md").write_text(str(results["cells"])),
    lambda results, file: file.write_text(str(results["cells"])),
)


class EndingTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="exemplar-bench-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.results, self.summary = self.folder / "results", self.folder / "summary.md"
        for context in (mock.patch.object(ending, "RESULTS", self.results), contextlib.redirect_stderr(io.StringIO())):
            context.__enter__()
            self.addCleanup(context.__exit__, None, None, None)

    def end(self, cells, status=0, only=None, summary=True):
        settings = argparse.Namespace(only=only, summary=self.summary if summary else None)
        return ENDING.write({"cells": cells}, settings, status)

    def stored(self):
        return json.loads((self.results / "results.json").read_text())

    def test_a_whole_session_is_stored_reported_and_published(self):
        self.assertEqual(self.end([7]), 0)
        self.assertEqual(self.stored(), {"cells": [7], "complete": True})
        self.assertEqual((self.results / "report.md").read_text(), "[7]")
        self.assertEqual(self.summary.read_text(), "[7]")

    def test_a_session_that_left_something_out_is_not_whole(self):
        for only, status in (("cells", 0), (None, 130), (None, 1)):
            self.assertEqual(self.end([7], status, only, summary=False), status)
            self.assertFalse(self.stored()["complete"])
            self.assertNotEqual(self.end([7], status, only), 0)
            self.assertFalse(self.summary.exists())

    def test_where_nothing_was_measured_the_results_before_stay(self):
        self.end([7])
        self.assertEqual(self.end([], status=130), 130)
        self.assertEqual(self.end([], status=0), 1)
        self.assertEqual(self.stored()["cells"], [7])
        self.assertEqual((self.results / "report.md").read_text(), "[7]")

    def test_an_earlier_session_is_published_and_nothing_else_written(self):
        self.end([7], summary=False)
        earlier = self.folder / "earlier.json"
        for complete, status in ((True, 0), (False, 1)):
            earlier.write_text(json.dumps({"cells": [8], "complete": complete}))
            self.assertEqual(ENDING.again(argparse.Namespace(source=earlier, summary=self.summary)), status)
            self.assertEqual(self.summary.read_text(), "[8]")
        self.assertEqual(self.stored()["cells"], [7])
        self.assertEqual((self.results / "report.md").read_text(), "[7]")
        earlier.write_text("{")
        self.assertEqual(ENDING.again(argparse.Namespace(source=earlier, summary=self.summary)), 1)

    def test_a_summary_of_a_part_and_an_earlier_run_without_one_are_wrong_command_lines(self):
        for parse, part in ((arguments.parse, "kernels"), (serving_arguments.parse, "rounds")):
            for options in (["--only", part, "--summary", "a.md"], ["--from", "results.json"]):
                with mock.patch.object(sys, "argv", ["run", *options]), self.assertRaises(SystemExit) as caught:
                    parse()
                self.assertEqual(caught.exception.code, 2)


class ProcessTests(unittest.TestCase):
    def test_a_worker_that_ended_is_quoted(self):
        script = "import sys; print('loading\\nno such library', file=sys.stderr)"
        worker = contender.Worker([sys.executable, "-c", script], sorted(os.sched_getaffinity(0)))
        self.addCleanup(worker.close)
        with self.assertRaisesRegex(contender.WorkerError, "ended: .*; its last words: no such library$"):
            worker.ask("machine")
        with self.assertRaisesRegex(contender.WorkerError, "ended"):
            worker.ask("machine")

    def test_no_setting_of_this_shell_is_handed_on(self):
        with mock.patch.dict(os.environ, {"EXEMPLAR_THREADS": "1", "EXEMPLAR": "2"}):
            with mock.patch.object(environment, "_install"), mock.patch.object(os, "execv"):
                environment.enter(peers=())
            found = dict(os.environ)
        self.assertNotIn("EXEMPLAR_THREADS", found)
        self.assertEqual(found["EXEMPLAR"], "2")


if __name__ == "__main__":
    unittest.main()
