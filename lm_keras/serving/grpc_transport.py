"""Requests to TF Serving's gRPC interface through the stubs of tensorflow-serving-api."""

from urllib.parse import urlsplit

from lm_keras.errors import InputError
from lm_keras.quiet import load_tensorflow
from lm_keras.serving.failures import ServingError
from lm_keras.serving.results import Tensor, VersionStatus

# Answers may be long, and a server that comes back is found again before the pauses of `retried` are over.
OPTIONS = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}


class Grpc:
    """One server, one model of it. Threads may share it."""

    def __init__(self, url, model, version, label, timeout):
        try:
            import grpc

            load_tensorflow()
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ImportError:
            raise InputError("a gRPC client needs tensorflow-serving-api: pip install 'lm_keras[serving]'") from None
        parts = urlsplit(url)
        self._url, self._spec, self._timeout = url, (model, version, label), timeout
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        options = list((OPTIONS | {"grpc.enable_http_proxy": int(not loopback)}).items())
        if parts.scheme == "grpcs":
            self._channel = grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options)
        self._error = grpc.RpcError
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def status(self):
        from tensorflow_serving.apis import get_model_status_pb2 as messages

        found = self._call(self._models.GetModelStatus, messages.GetModelStatusRequest()).model_version_status
        states = messages.ModelVersionStatus.State
        return [VersionStatus(one.version, states.Name(one.state), one.status.error_message) for one in found]

    def signatures(self):
        from tensorflow_serving.apis import get_model_metadata_pb2 as messages

        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        found = messages.SignatureDefMap()
        self._call(self._predictions.GetModelMetadata, request).metadata["signature_def"].Unpack(found)
        return {
            name: {
                part: {key: _tensor(info) for key, info in getattr(each, part).items()}
                for part in ("inputs", "outputs")
            }
            for name, each in found.signature_def.items()
            if not name.startswith("__")
        }

    def predict(self, name, columns, signature):
        """`{output: nested list}`; text as str, except in outputs whose name ends in "_bytes" (as REST has it)."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = name
        for key, values in columns.items():
            dtype = tf.dtypes.as_dtype(signature["inputs"][key].dtype)
            try:
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values, dtype))
            except ValueError:
                raise InputError(f"the lists in {key} have different lengths; a request is a full table") from None
        answer = self._call(self._predictions.Predict, request).outputs
        values = {key: tf.make_ndarray(tensor).tolist() for key, tensor in answer.items()}
        return {key: each if key.endswith("_bytes") else _text(each) for key, each in values.items()}

    def close(self):
        self._channel.close()

    def _call(self, method, request):
        name, version, label = self._spec
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        elif label:
            request.model_spec.version_label = label
        try:
            return method(request, timeout=self._timeout)
        except self._error as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                raise ServingError(code, f"{self._url} did not answer in {self._timeout} s") from None
            told = error.details() or code
            if code == "UNAVAILABLE" and "failed to connect" in told:
                reason = "connection refused" if "refused" in told else told
                raise ServingError(code, f"{self._url} cannot be reached: {reason}") from None
            raise ServingError(code, f"{self._url}: {told}") from None


def _tensor(info):
    import tensorflow as tf

    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else [None if dim.size < 0 else dim.size for dim in shape.dim]
    return Tensor(tf.dtypes.as_dtype(info.dtype).name, sizes)


def _text(value):
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
