"""A process that a test starts and waits for."""
import subprocess


class Started(subprocess.Popen):
    """A Popen whose `with` does not wait for ever when a test fails inside of it."""

    def __exit__(self, kind, value, traceback):
        if kind is not None and self.poll() is None:
            self.terminate()
            try:
                self.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        return super().__exit__(kind, value, traceback)
