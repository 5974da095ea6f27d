from .conditional import ConditionalLM as ConditionalLM
from .table import ContextTable as ContextTable
