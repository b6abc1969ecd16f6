"""TensorFlow Serving's messages about models, which REST and gRPC share."""

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2


def status_of(versions):
    """The `GetModelStatusResponse` of versions."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in versions:
        status = response.model_version_status.add(version=version.number, state=version.state)
        if version.error:
            status.status.error_code, status.status.error_message = 2, version.error  # UNKNOWN
        else:
            status.status.error_code = 0
    return response


def metadata_of(version):
    """The `ModelSpec` and `SignatureDefMap` of a version."""
    specification = model_pb2.ModelSpec(name=version.model)
    specification.version.value = version.number
    definitions = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.definitions.items():
        definitions.signature_def[name].CopyFrom(definition)
    return specification, definitions
