"""Does an export work in TensorFlow Serving's container? Loading, warm-up, good and bad requests.

python benchmarks/serving_container.py EXPORT_DIR PHOTO [--image=tensorflow/serving:2.15.1]

EXPORT_DIR is the --output_dir of adl_tf.export, PHOTO a JPEG or PNG. It needs docker, and
pip install 'adl-tf[serving]'. Prints a line for each check, and one of JSON last; the status is 1
if one of them failed. Nobody has run it against a real container yet: please send what it prints.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

from absl import app, flags

IMAGE = flags.DEFINE_string("image", "tensorflow/serving:2.15.1", "The container.")
SECONDS = flags.DEFINE_float("seconds", 300.0, "How long the server may take to load the export.")
HOST, GRPC_PORT, REST_PORT = "127.0.0.1", 8500, 8501
MODEL_URL = f"http://{HOST}:{REST_PORT}/v1/models/adl_tf"
NO_IMAGE = b"not an image"


def main(argv):
    if len(argv) != 3:
        raise app.UsageError("give EXPORT_DIR and PHOTO")
    export_dir, photo = argv[1:]
    if not shutil.which("docker"):
        sys.exit("error: no docker here; install it, or run this on a machine that has it.")
    with open(photo, "rb") as file:
        content = file.read()
    container = _start(export_dir)
    try:
        results = {"loading": _timed(_wait)}
        # The second request shows what is left to prepare when the first one comes.
        for name, ask in (("REST", _ask_rest), ("gRPC", _ask_grpc)):
            for which in ("first", "second"):
                results[f"{name}, {which}"] = _timed(ask, content)
            results[f"{name}, bad"] = _timed(_refused, ask)
            results[f"{name}, after the bad one"] = _timed(ask, content)
    finally:
        subprocess.run(["docker", "stop", container], check=False, stdout=subprocess.DEVNULL)
    for name, result in results.items():
        print(f"{name}: {result}", file=sys.stderr)
    print(json.dumps(results))
    sys.exit(int(any("failed" in result for result in results.values())))


def _start(export_dir: str) -> str:
    """Starts the server; returns the container's id."""
    mount = f"{os.path.abspath(export_dir)}:/models/adl_tf:ro"
    ports = [f"-p={HOST}:{port}:{port}" for port in (GRPC_PORT, REST_PORT)]
    command = ["docker", "run", "-d", "--rm", *ports, "-v", mount, "-e", "MODEL_NAME=adl_tf"]
    result = subprocess.run([*command, IMAGE.value], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {result.stderr.strip().splitlines()[0]}")
    return result.stdout.strip()


def _timed(check, *arguments):
    """What a check returned or why it failed, and its seconds."""
    start = time.monotonic()
    try:
        result = {"result": check(*arguments)}
    except Exception as error:  # Whatever it is, the other checks go on.
        result = {"failed": f"{type(error).__name__}: {error}"}
    return {**result, "seconds": round(time.monotonic() - start, 3)}


def _wait() -> str:
    """Waits until the export is served."""
    end, state = time.monotonic() + SECONDS.value, "no answer"
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(MODEL_URL, timeout=5) as response:
                (version,) = json.load(response)["model_version_status"]
            state = version["state"]
            if state == "AVAILABLE":
                return f"version {version['version']}"
        except OSError:
            pass  # It does not listen yet.
        time.sleep(1)
    raise TimeoutError(f"{state} after {SECONDS.value} seconds")


def _ask_rest(content: bytes) -> str:
    from adl_tf.serving import rest_client

    (outputs,) = rest_client.predict(MODEL_URL, [content])
    return f"labels {outputs['labels'].shape}"


def _ask_grpc(content: bytes) -> str:
    from adl_tf.serving import grpc_client

    request = grpc_client.bytes_request([content])
    return f"labels {grpc_client.predict(f'{HOST}:{GRPC_PORT}', request)['labels'].shape[1:]}"


def _refused(ask) -> str:
    """The server's message about what is no image."""
    try:
        found = ask(NO_IMAGE)
    except Exception as error:
        message = str(error)
        if "neither JPEG nor PNG" in message:
            return "refused with the reason"
        raise
    raise ValueError(f"it was not refused: {found}")


if __name__ == "__main__":
    app.run(main)
