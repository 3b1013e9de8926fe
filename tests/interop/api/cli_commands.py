"""The AWS CLI's own entry point, for one command after the other: an `aws` for each would spend its time on being loaded.

A line of standard input is a command's arguments, a JSON list; a line of standard output its exit code and what it wrote.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver


def main():
    driver = create_clidriver()
    for line in sys.stdin:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = driver.main(json.loads(line))
        print(json.dumps([code, output.getvalue(), errors.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
