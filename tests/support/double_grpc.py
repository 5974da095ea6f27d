"""The double's gRPC side: PredictionService and ModelService behind the stubs of tensorflow-serving-api."""

import contextlib
from concurrent import futures

import grpc
import tensorflow as tf
from double_errors import RefusedError
from double_json import DEFAULT
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models, faults):
        self._models, self._faults = models, faults

    def Predict(self, request, context):  # noqa: N802
        with _refusals(context, self._faults):
            number, version = self._models.find(*_asked(request))
            signature = request.model_spec.signature_name or DEFAULT
            if signature not in version.signatures:
                raise RefusedError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            response.model_spec.name, response.model_spec.signature_name = request.model_spec.name, signature
            response.model_spec.version.value = number
            for name, value in version.predict(signature, inputs).items():
                dtype = tf.dtypes.as_dtype(value.dtype)
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value, dtype, value.shape))
            return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        with _refusals(context, self._faults):
            if list(request.metadata_field) != ["signature_def"]:
                raise RefusedError("INVALID_ARGUMENT", "must specify the metadata_field signature_def")
            number, version = self._models.find(*_asked(request))
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name, response.model_spec.version.value = request.model_spec.name, number
            response.metadata["signature_def"].Pack(signature_map(version))
            return response


class ModelStatus(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models, faults):
        self._models, self._faults = models, faults

    def GetModelStatus(self, request, context):  # noqa: N802
        with _refusals(context, self._faults):
            name, version, _ = _asked(request)
            return status_of(self._models.available(name, version))


def signature_map(version):
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in version.signatures.items():
        found.signature_def[name].CopyFrom(signature)
    return found


def status_of(numbers):
    response = get_model_status_pb2.GetModelStatusResponse()
    for number in numbers:
        one = response.model_version_status.add(version=number, state="AVAILABLE")
        one.status.SetInParent()
    return response


def start(models, faults):
    """Returns the port."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(models, faults), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelStatus(models, faults), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    models.server = server  # it stops when nothing holds it
    return port


def _asked(request):
    spec = request.model_spec
    return spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label


@contextlib.contextmanager
def _refusals(context, faults):
    try:
        faults.meet()
        yield
    except RefusedError as error:
        context.abort(getattr(grpc.StatusCode, error.code), error.message)
