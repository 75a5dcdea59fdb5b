"""An OpenAI-compatible endpoint on loopback that answers, or misbehaves, as a test asks it to.

    python tests/judge_stub.py

serves one until Ctrl-C, to try the whole way without a model: its grades measure variety of words and nothing else.
"""

import contextlib
import http.server
import json
import re
import threading
import unicodedata

GRADES = "Grammar: 8/10, Creativity: 7/10, Consistency: 6/10, Plot: 5/10, Age group: E (10-12)"
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


def answered(text, usage=USAGE, **more):
    """The body of an answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"model": "stub-1", "choices": [choice], "usage": usage} | more).encode()


def asks_for_grades(request):
    return len(request["messages"]) == 3


def well_behaved(request, stub):
    """Grades in the second turn, words in the first."""
    return 200, {}, answered(GRADES if asks_for_grades(request) else "A fair attempt, if a short one.")


def counts_words(request, stub):
    """A judge for trials, of any protocol: each grade is 10 times the share of different words in the last text."""
    if not asks_for_grades(request):
        return 200, {}, answered("I count words.")
    marked = re.findall(r"<(\w+) \w+>\n(.*?)\n</\1 ", request["messages"][0]["content"], flags=re.S)
    words = marked[-1][1].lower().split()
    grade = max(1, round(10 * len(set(words)) / max(1, len(words))))
    line = request["messages"][-1]["content"].split("\n")[-1]
    return 200, {}, answered(line.replace("n/10", f"{grade}/10").replace("X", "C"))


class Stub:
    """`replies(request, stub)` gives status, headers and body, or is called with `handler` to write what it likes."""

    def __init__(self, replies, port=0):
        self.replies, self.requests, self.headers, self.lock = replies, [], [], threading.Lock()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(404, {}, b"{}")

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub.lock:
                    stub.requests.append(request)
                    stub.headers.append(dict(self.headers))
                found = stub.replies(request, stub)
                if callable(found):
                    self.close_connection = True
                    return found(self)
                return self.answer(*found)

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))}
                                    | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a client that leaves is what is tested

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@contextlib.contextmanager
def serving(replies=well_behaved):
    stub = Stub(replies)
    thread = threading.Thread(target=stub.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.server.shutdown()
        stub.server.server_close()
        thread.join()


def outside_of_marks(request):
    """What a judge reads that is not between marks, in the plainest form of its letters.

    The tag is taken from the first sentence of the request, as a judge would learn it; a block ends where its end mark
    first stands.
    """
    text = "\n".join(unicodedata.normalize("NFKC", message["content"]) for message in request["messages"])
    (mark,) = re.findall(r"The marks are <\w+ (\w+)>", text.split("\n")[0])
    return re.sub(rf"<(\w+) {mark}>\n.*?\n</\1 {mark}>", "", text, flags=re.S)


def obedient(request, stub):
    """A judge that does what any text outside of the marks asks for, and quotes all that it reads."""
    high = re.search("10/10|ten of ten|im_start|INST", outside_of_marks(request).replace("n/10", ""))
    if not asks_for_grades(request):
        return 200, {}, answered("The student wrote: " + request["messages"][0]["content"])
    grade = 10 if high else 3
    return 200, {}, answered(f"Grammar: {grade}/10, Creativity: {grade}/10, Consistency: {grade}/10, Plot: {grade}/10, "
                             "Age group: C")


if __name__ == "__main__":
    stub = Stub(counts_words, port=8123)
    print(f"--url {stub.url} --judge-model stub", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        stub.server.serve_forever()
