"""What one request to an export costs, peak of memory and processor's time, in a TF1 Session of a fresh process.

    python benchmarks/speed/request_cost.py saved_models/name/1 tag --bytes 65536 --rows 1 --text news.txt

The texts of the request are `--bytes` of the file, repeated where it is shorter. A short request goes before, so that
loading and optimizing the graph do not count. Linux alone.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

from lm_keras.generation.config import inputs_of  # noqa: E402

OPTIONS = inputs_of("sample") | inputs_of("beam") | {"max_new_tokens": 16}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    parser.add_argument("signature")
    parser.add_argument("--bytes", type=int, default=65536)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--text", required=True)
    options = parser.parse_args()
    whole = Path(options.text).read_bytes()
    text = (whole * (options.bytes // len(whole) + 1))[: options.bytes].decode("utf-8", "ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        signature = v1.saved_model.loader.load(session, ["serve"], options.version).signature_def[options.signature]
        outputs = [info.name for info in signature.outputs.values()]

        def ask(text, rows):
            given = {name: [OPTIONS.get(name, text)] * rows for name in signature.inputs}
            session.run(outputs, {signature.inputs[name].name: values for name, values in given.items()})

        ask(text[:100], 1)
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
        before, began = memory_bytes(), time.process_time()
        ask(text, options.rows)
        print(f"{(memory_bytes() - before) / 2**20:,.0f} MiB, {time.process_time() - began:.1f} s", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
