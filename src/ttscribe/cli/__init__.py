"""The ``ttscribe`` command: one file per subcommand, and here how it starts and how it is stopped.

What takes time to import is imported once Ctrl-C is listened to.
"""

import sys


def main() -> None:
    """Run the ``ttscribe`` command.

    The exit status is 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C and 143 for SIGTERM.
    """
    try:
        from ttscribe.cli._stopping import Stopping
    except KeyboardInterrupt:
        sys.stderr.write("ttscribe: error: interrupted\n")
        sys.exit(130)
    stopping = Stopping()
    try:
        stopping.listen()
        from ttscribe.cli._terminal import restore_terminal
        from ttscribe.cli.app import run
        from ttscribe.files import remove_unfinished

        stopping.clear_up = (remove_unfinished, restore_terminal)
        run()
    finally:
        stopping.finish()
