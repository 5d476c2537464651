"""Requests of clients and warm-up records, against the signatures of an export."""

import base64
import http.server
import json
import os
import threading
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from server import read_signatures, serve
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2
from tiny_network import png, random_image

import adl_tf.serving
from adl_tf.serving import grpc_client, rest_client
from adl_tf.serving.warmup import MODEL_NAME, WARMUP_FILE


def assert_fits(request, signatures):
    """As a server would check it: inputs by name, their dtype and shape."""
    signature = signatures[request.model_spec.signature_name]
    assert set(request.inputs) == set(signature.inputs)
    for name, tensor in request.inputs.items():
        wanted = signature.inputs[name]
        assert tensor.dtype == wanted.dtype
        shape = tf.TensorShape(wanted.tensor_shape)
        assert shape.is_compatible_with(tf.TensorShape(tensor.tensor_shape))


def test_grpc(export):
    signatures = read_signatures(export["export_dir"])
    image = random_image(20, 30)
    for signature in ("serving_default", "serving_xla"):
        request = grpc_client.bytes_request([png(image)] * 2, signature=signature)
        assert request.model_spec.name == MODEL_NAME
        assert_fits(request, signatures)
    for signature in ("serving_tensor", "serving_tensor_xla"):
        assert_fits(grpc_client.tensor_request(image[None], signature=signature), signatures)


class GrpcServer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with as many label maps as there are images."""

    def Predict(self, request, context):
        images = tf.make_ndarray(request.inputs["image_bytes"])
        if not images.size:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no image in the batch")
        response = predict_pb2.PredictResponse()
        labels = np.zeros([len(images), 2000, 3000], np.uint8)  # More than gRPC's own limit.
        response.outputs["labels"].CopyFrom(tf.make_tensor_proto(labels))
        return response


def test_grpc_answers():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcServer(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    results = grpc_client.predict(address, grpc_client.bytes_request([b"image"]))
    assert results["labels"].shape == (1, 2000, 3000)
    with pytest.raises(grpc.RpcError) as error:
        grpc_client.predict(address, grpc_client.bytes_request([]))
    assert error.value.details() == "no image in the batch"
    server.stop(None)


class RestServer(http.server.BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving does, with what a test puts into `answer`."""

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(self.path, content)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def rest_server():
    server = http.server.HTTPServer(("127.0.0.1", 0), RestServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_rest(export, rest_server, tmp_path):
    signatures = read_signatures(export["export_dir"])

    def answer(path, content):
        """Decodes a request as the server's documentation says, and runs it."""
        assert path == "/v1/models/adl_tf:predict"
        signature = signatures[content["signature_name"]]
        ((name, _),) = signature.inputs.items()
        images = [base64.b64decode(each[name]["b64"]) for each in content["instances"]]
        request = grpc_client.bytes_request(images, signature=content["signature_name"])
        assert_fits(request, signatures)
        (result,) = serve(export["export_dir"], [request], tmp_path)
        if isinstance(result, str):
            return 400, {"error": result}
        lists = {name: value.tolist() for name, value in result.items()}
        rows = [dict(zip(lists, values)) for values in zip(*lists.values())]
        return 200, {"predictions": rows}

    rest_server.answer = answer
    url = f"http://127.0.0.1:{rest_server.server_port}/v1/models/adl_tf"
    (result,) = rest_client.predict(url, [png(random_image(20, 30))])
    assert result["labels"].dtype == np.uint8
    np.testing.assert_array_equal(result["labels"], result["logits"].argmax(-1))
    with pytest.raises(ValueError, match="image 0 of the batch .* is neither JPEG nor PNG"):
        rest_client.predict(url, [b"text"])
    # A single output comes without a name.
    (only,) = rest_client.parse_response(json.dumps({"predictions": [[[1, 2]]]}).encode())
    np.testing.assert_array_equal(only["labels"], [[1, 2]])


@pytest.mark.parametrize("client, option", [(rest_client, "--url"), (grpc_client, "--address")])
def test_clients_end_with_one_line(client, option, tmp_path, monkeypatch):
    image = tmp_path / "a.png"
    image.write_bytes(png(random_image(9, 9)))
    server = "http://127.0.0.1:1/v1/models/adl_tf" if client is rest_client else "127.0.0.1:1"
    for path, said in ((image, server), (tmp_path / "none.png", "none.png")):
        monkeypatch.setattr("sys.argv", ["client", f"{option}={server}", str(path)])
        with pytest.raises(SystemExit, match=f"^error: .*{said}"):
            client.main()


def test_warmup_records_are_good_requests(export, tmp_path):
    path = os.path.join(export["export_dir"], WARMUP_FILE)
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(path)
    ]
    assert len(logs) == export["warmup"] == 2
    requests = [log.predict_log.request for log in logs]
    signatures = read_signatures(export["export_dir"])
    for request in requests:
        assert_fits(request, signatures)
    assert [request.model_spec.signature_name for request in requests] == [
        "serving_default",
        "serving_tensor",
    ]
    (image,) = tf.make_ndarray(requests[0].inputs["image_bytes"])
    assert tf.io.decode_image(image).shape == (513, 513, 3)


def test_models_config():
    path = os.path.join(os.path.dirname(adl_tf.serving.__file__), "models.config")
    with open(path) as file:
        config = text_format.Parse(file.read(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == MODEL_NAME
    assert model.model_version_policy.latest.num_versions == 2
