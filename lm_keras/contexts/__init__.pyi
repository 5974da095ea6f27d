from .conversation import Conversation as Conversation
