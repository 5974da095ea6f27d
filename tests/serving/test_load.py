"""Eight threads, 200 requests each, through the double: the answers of one thread, and memory that does not grow."""

import itertools
import threading
from concurrent import futures

import psutil

from lm_keras.serving import Client

THREADS, REQUESTS, KINDS = 8, 200, 30
GROWTH = 3 * 2**20  # bytes from the first hundred to the last: 2 KB a request; 0.6 MB were measured


def request(client, i, prompts):
    """The i-th request: a few rows of another kind, length and number each time."""
    rows = [prompts[(7 * i + k) % len(prompts)] for k in range(1 + i % 4)]
    if i % 3 == 0:
        return client.score(rows)
    if i % 3 == 1:
        return client.generate(rows, max_new_tokens=4)
    return client.sample(rows, max_new_tokens=4, temperature=0.8, seed=i)


def test_many_threads_get_the_answers_of_one_and_memory_stays(double, sentences):
    prompts = [" ".join(sentence.split()[: 1 + i % 6]) for i, sentence in enumerate(sentences[:50])]
    process, done, memory, lock = psutil.Process(double.pid), itertools.count(1), {}, threading.Lock()
    clients = [Client(url, "word") for url in double.urls]
    expected = [request(clients[0], i, prompts) for i in range(KINDS)]

    def work(thread):
        """The number of wrong answers; half of the threads ask by REST, half by gRPC."""
        wrong = 0
        for i in range(REQUESTS):
            which = (7 * i + thread) % KINDS
            wrong += request(clients[thread % 2], which, prompts) != expected[which]
            with lock:
                n = next(done)
                if n % 100 == 0:
                    memory[n] = process.memory_info().rss
        return wrong

    with futures.ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [0] * THREADS
    for client in clients:
        client.close()
    assert len(memory) == THREADS * REQUESTS // 100
    # Every rise counts: memory that is given back once would hide what grows.
    rises = [max(0, after - before) for before, after in itertools.pairwise(memory.values())]
    assert sum(rises) < GROWTH, memory
