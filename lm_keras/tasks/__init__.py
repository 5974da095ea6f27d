"""Applications, one a file: trained models with their tokenizers, and an export of each; topics and clusters."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "ExtractedAnswer": "lm_keras.tasks.qa",
        "Classification": "lm_keras.tasks.classification",
        "QuestionAnswerer": "lm_keras.tasks.qa",
        "Span": "lm_keras.tasks.spans",
        "TextClassifier": "lm_keras.tasks.classification",
        "TextEmbedder": "lm_keras.tasks.embedding",
        "TextTagger": "lm_keras.tasks.tagging",
        "TextToText": "lm_keras.tasks.text_to_text",
        "load": "lm_keras.tasks.folder",
        "save": "lm_keras.tasks.folder",
        "Clusters": "lm_keras.tasks.clusters",
        "Coherence": "lm_keras.tasks.coherence",
        "DocumentVectors": "lm_keras.tasks.documents",
        "TopicModel": "lm_keras.tasks.topics",
        "cluster_documents": "lm_keras.tasks.clusters",
        "coherence_curve": "lm_keras.tasks.topics",
        "load_doc2vec": "lm_keras.tasks.documents",
        "load_topics": "lm_keras.tasks.topics",
        "plot_clusters": "lm_keras.tasks.pictures",
        "plot_coherence": "lm_keras.tasks.pictures",
        "plot_topics": "lm_keras.tasks.pictures",
        "topic_coherence": "lm_keras.tasks.coherence",
        "train_doc2vec": "lm_keras.tasks.documents",
        "train_topics": "lm_keras.tasks.topics",
    },
)
