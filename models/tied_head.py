"""A head that shares its matrix with the embedding."""

import keras


@keras.saving.register_keras_serializable(package="mnist_rows")
class TiedHead(keras.layers.Layer):
    """Logits from the matrix E of an embedding layer: h Eᵀ + b.

    Source: O. Press and L. Wolf, Using the Output Embedding to Improve Language Models, 2017,
    https://arxiv.org/abs/1608.05859.

    Args:
        embedding: The `keras.layers.Embedding`, with vectors of the size of the hidden state.
    """

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def build(self, input_shape):
        self.bias = self.add_weight((self.embedding.input_dim,), "zeros", name="bias")

    def call(self, hidden):
        matrix = keras.ops.cast(self.embedding.embeddings, self.compute_dtype)
        return keras.ops.matmul(hidden, keras.ops.transpose(matrix)) + self.bias

    def get_config(self):
        embedding = keras.saving.serialize_keras_object(self.embedding)
        return {**super().get_config(), "embedding": embedding}

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config.pop("embedding"))
        return cls(embedding, **config)
