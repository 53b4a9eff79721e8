"""
Ask a web server again and again, on a new connection each time, and tell at the end how often each answer came.

    python hammer.py http://127.0.0.1:8080
"""

import collections
import http.client
import signal
import sys
import threading
import urllib.request

ended = threading.Event()
answers = collections.Counter()
failures = collections.Counter()


def hammer():
    while not ended.is_set():
        try:
            with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
                answers[answer.read().decode().strip()] += 1
        except (OSError, http.client.HTTPException) as error:
            failures[str(error)] += 1


signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
threads = [threading.Thread(target=hammer) for _ in range(4)]
for thread in threads:
    thread.start()
print("hammering", flush=True)
for thread in threads:
    thread.join()
for text, count in sorted(answers.items()):
    print(f"{count} times: {text}")
print(f"{sum(failures.values())} failures", *failures)
