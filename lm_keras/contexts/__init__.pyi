from .conditional import ConditionalLM as ConditionalLM
from .conversation import Conversation as Conversation
from .in_context import LossCurve as LossCurve
from .in_context import copying_scores as copying_scores
from .in_context import loss_by_examples as loss_by_examples
from .in_context import loss_by_position as loss_by_position
from .in_context import places_after as places_after
from .table import ContextTable as ContextTable
