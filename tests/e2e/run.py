#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs the end-to-end tests: all files side by side, or only what is named.

    run.py [test_FILE[.CLASS[.TEST]] ...]

Prints a line `ok - NAME` or `not ok - NAME` a test (and why); exits with 1 when one failed.
"""
import concurrent.futures
import glob
import os
import subprocess
import sys
import time
import unittest

SIDE_BY_SIDE = 4  # the tests mostly wait


class Lines(unittest.TestResult):
    def addSuccess(self, test):
        print(f'ok - {test.id()}', flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f'ok - {test.id()} # SKIP {reason}', flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.tell(test, self.errors[-1][1])

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error:
            self.tell(part, (self.failures + self.errors)[-1][1])

    @staticmethod
    def tell(test, why):
        print(f'not ok - {test.id()}')
        print('\n'.join('# ' + line for line in why.splitlines()), flush=True)


def run_here(name):
    result = Lines()
    unittest.defaultTestLoader.loadTestsFromName(name).run(result)
    return 0 if result.wasSuccessful() else 1


def run_file(name):
    begin = time.monotonic()
    done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='backslashreplace')
    done.stdout += f'# {name} took {time.monotonic() - begin:.0f} s\n'
    if done.returncode and 'not ok -' not in done.stdout:
        done.stdout += f'not ok - {name} ended with {done.returncode}\n'
    print(done.stdout, end='', flush=True)
    return done.returncode


def main(names):
    if len(names) == 1:
        return run_here(names[0])
    here = os.path.dirname(os.path.abspath(__file__))
    names = names or sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(here, 'test_*.py')))
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return 1 if any(list(pool.map(run_file, names))) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
